"""What the scripts of programs on mounted shares have in common: two mounts of one share, and checks."""

import sys

FIRST, SECOND = sys.argv[1:3]


def fails(expected, call, *arguments):
    try:
        call(*arguments)
    except OSError as error:
        assert error.errno == expected, (call, arguments, error)
    else:
        raise AssertionError("%s%r should have failed" % (call.__name__, arguments))


def write(name, data, mode="w"):
    with open(name, mode) as file:
        file.write(data)


def read(name, mode="r"):
    with open(name, mode) as file:
        return file.read()
