# SPDX-License-Identifier: Apache-2.0
"""What is installed has no hook of the tests: none of its programs knows the variable that shifts a wall clock.

    product.py TEST_PROGRAM PROGRAM...      the first must have the hook, so that this check is seen to look
"""
import sys

HOOKS = (b"MERIDIAN_TEST_", b"__wrap_clock_")


def hooks_in(path):
    with open(path, "rb") as f:
        data = f.read()
    return [h.decode() for h in HOOKS if h in data]


def main():
    test_program, *programs = sys.argv[1:]
    if not hooks_in(test_program):
        sys.exit(f"{test_program}: no hook is found where one must be: this check looks for the wrong words")
    for path in programs:
        if hooks_in(path):
            sys.exit(f"{path}: has a hook of the tests: {', '.join(hooks_in(path))}")


main()
