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
    json = "--json" in arguments
    from pipeline.cli import output
    from pipeline.cli.app import app
    from pipeline.log import tell_warnings

    tell_warnings()

    try:
        code = app(arguments, prog_name="crisis", standalone_mode=False) or 0
        output.flush(json)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(1)
    except (Exception, KeyboardInterrupt) as error:
        code = _fail(error, json, debug)
    sys.exit(code)


def _fail(error: BaseException, json: bool, debug: bool) -> int:
    """Say what is wrong; the exit code. An error that is not one of ours is a bug and shows its traceback."""
    from pipeline.cli import output
    from pipeline.cli.failures import described
    from pipeline.log import error as tell

    sentence, code = described(error)
    output.flush(json, sentence or f"{type(error).__name__}: {error}", code)
    if debug or sentence is None:
        raise error
    tell(sentence)
    return code


if __name__ == "__main__":
    main()
