"""What a check is: a function that is registered, and raises when something is not as it should be."""

CHECKS, WAITING = [], []


def check(function):
    CHECKS.append(function)
    return function


def waiting_check(function):
    """One that mostly waits, and may run beside others."""
    WAITING.append(function)
    return check(function)


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def find(documents, kind, name):
    return next(one for one in documents if one['kind'] == kind and one['metadata']['name'] == name)
