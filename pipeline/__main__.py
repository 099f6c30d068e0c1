"""The command `crisis`: one sentence for an error, a traceback only with `--debug`."""

from __future__ import annotations

import sys

import crisis_guard


def main() -> None:
    """Run the command line; exits 0 done, 1 failed, 2 wrong use, 3 done with bad rows, 130 stopped by Ctrl-C."""
    if not {"--quiet", "-q"} & set(sys.argv) and (shadowed := crisis_guard.shadowing()):
        print(f"note: {shadowed}", file=sys.stderr)
    debug = "--debug" in sys.argv
    arguments = [argument for argument in sys.argv[1:] if argument != "--debug"]
    from pipeline.cli.app import app

    try:
        app(arguments)
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except Exception as error:
        code = _exit_code(error)
        if debug or code is None:
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(code)


def _exit_code(error: Exception) -> int | None:
    """The exit code of one of our own errors; None for any other, which is a bug and shows its traceback."""
    from cache import CacheError
    from classifiers import HeadError
    from features import FeatureError
    from pipeline.errors import CrisisError
    from pipeline.sample import SampleError

    # of an OSError (a full disk, a folder that may not be written) the system's words name cause and file
    ours = (CrisisError, CacheError, HeadError, FeatureError, SampleError, OSError)
    return getattr(error, "exit_code", 1) if isinstance(error, ours) else None


if __name__ == "__main__":
    main()
