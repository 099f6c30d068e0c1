"""How fast the cache is, beside the formats one would use instead.

``python -m benchmarks.cache`` writes 200,000 x 768 float16 and 200,000 captions in every format and measures, in turns,
median of ``--repeat`` rounds: a full load cold (pages dropped with posix_fadvise) and warm, a random 80 % split, a
gather of 32 rows, all captions, commits, sealing, and the resume scan of ten million ids. zarr and pyarrow are measured
if they are installed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

from cache import FeatureFile, FeatureWriter, Rows, ViewSpec
from cache.index import IdIndex

PART = 8192
Jobs = dict[str, Callable[[], object]]


def make_rows(array: np.ndarray, start: int, stop: int, sentences: int) -> Rows:
    """Rows [start, stop) of the benchmark's posts."""
    n = stop - start
    numbers = np.arange(start, stop, dtype=np.uint64)
    return Rows(
        ids=[f"{910806102391918592 + row}_{row % 4}" for row in range(start, stop)],
        groups=[f"{910806102391918592 + row}" for row in range(start, stop)],
        views={"image/pooled": array[start:stop]},
        status={"image": np.zeros(n, np.uint8)},
        hashes={"image": np.repeat(numbers[:, None], 2, axis=1).view(np.uint8)},
        stamps={"image": numbers},
        captions={"llava": make_captions(start, stop, sentences)},
    )


def make_captions(start: int, stop: int, sentences: int) -> list[str]:
    """Captions of about 70 characters a sentence; every fifth is not ASCII."""
    plain, other = (
        "a flooded street with several people and parked cars in the water ",
        "una calle inundada después del huracán ",
    )
    return [f"{row} " + (plain if row % 5 else other) * sentences for row in range(start, stop)]


def write_ours(path: Path, array: np.ndarray, sentences: int = 1) -> tuple[list[float], float]:
    """Commit parts and seal: seconds of each commit, seconds of the seal."""
    views = {"image/pooled": ViewSpec(array.shape[1:], str(array.dtype))}
    settings = {"views": views, "modalities": ["image"], "captions": ["llava"], "provenance": {"fingerprint": "b"}}
    commits = []
    with FeatureWriter(path, **settings) as writer:
        for start in range(0, len(array), PART):
            rows = make_rows(array, start, min(start + PART, len(array)), sentences)
            commits.append(_seconds(lambda start=start, rows=rows: writer.commit(start, rows)))
        return commits, _seconds(writer.seal)


def write_others(folder: Path, array: np.ndarray, captions: list[str]) -> None:
    """The same content as plain npy, h5py (contiguous, variable-length strings), zarr v3 and Parquet."""
    np.save(folder / "array.npy", array)
    with h5py.File(folder / "vlen.h5", "w") as file:
        file.create_dataset("captions", data=captions, dtype=h5py.string_dtype())
        file.create_dataset("array", data=array)
    if zarr := _optional("zarr"):
        chunks = (min(PART, len(array)), *array.shape[1:])
        stored = zarr.create_array(folder / "array.zarr", shape=array.shape, chunks=chunks, dtype=array.dtype)
        stored[:] = array
    if pa := _optional("pyarrow"):
        import pyarrow.parquet as parquet

        flat = pa.array(array.reshape(-1).view(np.uint16))
        lists = pa.FixedSizeListArray.from_arrays(flat, array.shape[1])
        parquet.write_table(pa.table({"array": lists, "captions": captions}), folder / "table.parquet")


def loads(folder: Path, array: np.ndarray, warm: bool) -> Jobs:
    """Ways to load the whole array. Cold ones open the file each time: pages somebody maps cannot be dropped."""
    given, also = np.empty_like(array), np.empty_like(array)
    path = folder / "ours.h5"
    held = FeatureFile.open(path) if warm else None
    jobs: Jobs = {
        "ours, fresh array, opening included": lambda: FeatureFile.open(path).read("image/pooled"),
        "ours, fresh array": lambda: (held or FeatureFile.open(path)).read("image/pooled"),
        "ours, given array": lambda: (held or FeatureFile.open(path)).read("image/pooled", given),
        "ours, fresh, every block checked": lambda: (held or FeatureFile.open(path)).read("image/pooled", verify=True),
        "np.load, fresh array": lambda: np.load(folder / "array.npy"),
        "np.memmap copied to a given array": lambda: np.copyto(also, np.load(folder / "array.npy", mmap_mode="r")),
        "h5py, contiguous": lambda: _h5py_load(folder),
    }
    if zarr := _optional("zarr"):
        jobs["zarr v3"] = lambda: zarr.open_array(folder / "array.zarr", mode="r")[:]
    if _optional("pyarrow"):
        jobs["Parquet"] = lambda: _parquet_column(folder, "array").flatten().to_numpy().view(array.dtype)
    return jobs


def _h5py_load(folder: Path) -> np.ndarray:
    with h5py.File(folder / "vlen.h5") as file:
        return file["array"][:]


def _parquet_column(folder: Path, name: str):
    import pyarrow.parquet as parquet

    return parquet.read_table(folder / "table.parquet", columns=[name]).column(name).combine_chunks()


def gathers(folder: Path, array: np.ndarray, count: int) -> Jobs:
    """Ways to take ``count`` random rows; a large count is a split, kept in row order."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(array))[:count]
    rows = np.sort(rows) if count > 1000 else rows
    file, mapped = FeatureFile.open(folder / "ours.h5"), np.load(folder / "array.npy", mmap_mode="r")
    loaded = np.asarray(mapped).copy()
    jobs: Jobs = {
        "ours, take": lambda: file.take("image/pooled", rows),
        "np.memmap[rows]": lambda: mapped[rows],
        "np.ndarray[rows] in memory": lambda: loaded[rows],
    }
    if count <= 1000:
        vlen = h5py.File(folder / "vlen.h5")
        ordered = np.sort(rows)
        jobs["h5py[rows]"] = lambda: vlen["array"][ordered]
        if zarr := _optional("zarr"):
            stored = zarr.open_array(folder / "array.zarr", mode="r")
            jobs["zarr v3 oindex"] = lambda: stored.oindex[rows]
    return jobs


def captions(folder: Path, rows: int, sentences: int) -> Jobs:
    """Ways to read all captions as a list of str, each from an open file."""
    folder.mkdir()
    array, texts = np.zeros((rows, 1), np.float16), make_captions(0, rows, sentences)
    write_ours(folder / "ours.h5", array, sentences)
    write_others(folder, array, texts)
    file, vlen = FeatureFile.open(folder / "ours.h5"), h5py.File(folder / "vlen.h5")
    jobs: Jobs = {
        "ours": lambda: file.captions("llava").to_list(),
        "h5py variable-length strings": lambda: vlen["captions"].asstr()[:].tolist(),
    }
    if _optional("pyarrow"):
        jobs["Parquet"] = lambda: _parquet_column(folder, "captions").to_pylist()
    return jobs


def measure(jobs: Jobs, repeat: int, cold: Path | None = None) -> dict[str, float]:
    """Median seconds of each job, all jobs in turns, each round in another order (a job that leaves much memory to
    tidy up slows its successor); before a cold one the folder's pages are dropped.

    A warm job runs once unmeasured, then as often as makes some milliseconds.
    """
    times: dict[str, list[float]] = {name: [] for name in jobs}
    order = np.random.default_rng(0)
    for _ in range(repeat):
        for name, job in order.permutation(np.array(list(jobs.items()), object)):
            loops = 1
            if cold:
                drop_pages(cold)
            else:
                loops = max(1, int(0.01 / _seconds(job)))
            times[name].append(_seconds(job, loops) / loops)
    return {name: statistics.median(found) for name, found in times.items()}


def drop_pages(folder: Path) -> None:
    """Ask the kernel to forget the pages of all files under ``folder``."""
    for path in folder.rglob("*"):
        if path.is_file():
            descriptor = os.open(path, os.O_RDONLY)
            os.fsync(descriptor)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(descriptor)


def show(title: str, times: dict[str, float], reference: str, unit: float = 1e3, name: str = "ms") -> None:
    """A table: time, and speed as a multiple of the reference's."""
    print(f"\n{title}\n{'':38}{name:>10}{'speed':>8}  (1 = {reference})")
    for job, seconds in times.items():
        print(f"{job:38}{seconds * unit:10.1f}{times[reference] / seconds:8.2f}")


def scan(count: int) -> None:
    """The resume scan: index ``count`` stored ids, look all of them up in another order and in the same order."""
    numbers = np.arange(count) + 910806102391918592
    stored = np.char.add(numbers.astype("S18"), b"_0").astype("S24")
    shuffled = stored[np.random.default_rng(0).permutation(count)]
    index: list[IdIndex] = []
    built = _seconds(lambda: index.append(IdIndex(stored)))
    same = _seconds(lambda: index[0].rows_of(stored))
    other = _seconds(lambda: index[0].rows_of(shuffled))
    print(f"\nResume scan of {count:,} ids: index {built:.2f} s, all in order {same:.2f} s, shuffled {other:.2f} s")


def _seconds(job: Callable[[], object], loops: int = 1) -> float:
    begin = time.perf_counter()
    for _ in range(loops):
        job()
    return time.perf_counter() - begin


def _optional(name: str):
    try:
        return __import__(name)
    except ImportError:
        return None


def main() -> None:
    """Parse arguments, write the files, print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=200_000)
    parser.add_argument("--dimensions", type=int, default=768)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--ids", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, default=None, help="where to write (default: a temporary folder)")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    array = np.random.default_rng(0).standard_normal((options.rows, options.dimensions), np.float32).astype(np.float16)
    texts = make_captions(0, options.rows, 1)
    try:
        commits, sealing = write_ours(folder / "ours.h5", array)
        write_others(folder, array, texts)
        payload = array.nbytes + sum(len(text.encode()) for text in texts)
        size = (folder / "ours.h5").stat().st_size
        print(f"{options.rows:,} x {options.dimensions} float16, {payload / 1e6:.0f} MB with captions")
        given = payload + options.rows * (20 + 18 + 1 + 16 + 8)
        print(f"file / (vectors and captions): {size / payload:.4f}")
        print(f"file / all that was given (also ids, groups, status, hashes, stamps): {size / given:.4f}")
        print(f"commit of {PART} rows: median {statistics.median(commits) * 1e3:.1f} ms; seal: {sealing:.2f} s")
        show("Full load, cold", measure(loads(folder, array, False), options.repeat, folder), "np.load, fresh array")
        show("Full load, warm", measure(loads(folder, array, True), options.repeat), "np.load, fresh array")
        split = gathers(folder, array, options.rows * 8 // 10)
        show("Random 80 % split, warm", measure(split, options.repeat), "np.memmap[rows]")
        few = gathers(folder, array, 32)
        show("32 random rows, warm", measure(few, options.repeat), "np.memmap[rows]", 1e6, "us")
        for sentences in (1, 3):
            read = captions(folder / f"captions{sentences}", options.rows, sentences)
            title = f"{options.rows:,} captions of {sentences * 70} characters, warm"
            show(title, measure(read, options.repeat), "h5py variable-length strings")
        del split, few
        scan(options.ids)
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
