"""The command line: python -m tinygrad_edu.check.grade submission.py reference.py --json out.json --markdown out.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tinygrad_edu.check.grade.child import Limits
from tinygrad_edu.check.grade.grading import grade


def main() -> int:
    """Grade, print, write; 0 if everything is right, 1 if not, 2 if the grader was not called rightly."""
    parser = argparse.ArgumentParser(
        prog="python -m tinygrad_edu.check.grade", description="Grade a file of functions against a reference."
    )
    parser.add_argument("submission", type=Path)
    parser.add_argument("reference", type=Path, help="defines the functions, and `cases`")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the report as JSON")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the report as Markdown")
    parser.add_argument("--seconds", type=float, default=Limits().seconds, help="for each function")
    parser.add_argument("--megabytes", type=float, default=Limits().megabytes, help="for each function")
    options = parser.parse_args()
    try:
        report = grade(options.submission, options.reference, seconds=options.seconds, megabytes=options.megabytes)
    except (OSError, ValueError) as error:
        parser.error(str(error).removeprefix("grade: "))
    print(report)
    for file, text in ((options.json, report.json()), (options.markdown, report.markdown())):
        if file is not None:
            file.write_text(text, encoding="utf-8")
    return 0 if report else 1


if __name__ == "__main__":
    sys.exit(main())
