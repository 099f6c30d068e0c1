"""A dataset of somebody else's: one text file, a post a line, its class before the first tab."""

from pipeline.datasets import Dataset, Posts
from pipeline.errors import UsageError


class Lines(Dataset):
    name = "lines"
    summary = "a text file of lines: class, tab, text"

    def recognises(self, path):
        return path.suffix == ".lines"

    def read(self, data, columns, name, cache):
        if not data.is_file():
            raise UsageError(f"There is no '{data}' (--data).")
        kinds, texts = zip(*(line.split("\t") for line in data.read_text().splitlines()), strict=True)
        ids = [f"line-{number}" for number in range(len(texts))]
        return Posts(
            name=name or self.name,
            root=data.parent,
            ids=ids,
            groups=ids,
            texts=texts,
            images=[""] * len(ids),
            events=[""] * len(ids),
            labels={"kind": {"pair": kinds}},
            origin=f"lines of {data}",
        )
