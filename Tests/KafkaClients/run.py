#!/usr/bin/env python3
"""Runs the cases that a Kafka client can do, one line a case.

    run.py CLIENT BOOTSTRAP [--flights FILE] [--only WORDS]... [--retries COUNT]

CLIENT is a module beside this one. A case runs in a process of its own, so one that hangs or dies takes no other with it.
The status is 0 when every case has its line.
"""
import argparse
import importlib
import os
import signal
import time
import traceback

import cases
from bench import CASES, Bench, Failed
from records import Refused


def perform(client, arguments, name, function, out):
    """The child's part: the case, and what it says when it fails."""
    bench = Bench(client, arguments.bootstrap, name, arguments.flights)
    try:
        function(bench)
        status = 0
    except BaseException as error:
        known = isinstance(error, (Failed, Refused))
        text = str(error) if known else traceback.format_exc()
        frames = traceback.extract_tb(error.__traceback__)
        line = next((entry.lineno for entry in frames if entry.filename == cases.__file__), 0)
        os.write(out, f'{type(error).__name__} at cases.py:{line}: {text}'.encode()[-4000:])
        status = 1
    try:
        signal.alarm(15)                    # closing is no part of the case, and may not hang either
        for thing in reversed(bench.open):
            thing.close()
    except BaseException:
        pass
    os._exit(status)


def run(client, arguments, name, seconds, function):
    """Runs one case in a child. Returns whether it passed, and what it said."""
    readable, writable = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(readable)
        perform(client, arguments, name, function, writable)
    os.close(writable)
    end = time.monotonic() + seconds
    while True:
        done, status = os.waitpid(child, os.WNOHANG)
        if done or time.monotonic() > end:
            break
        time.sleep(0.01)
    if not done:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    said = os.read(readable, 4000).decode(errors='replace')
    os.close(readable)
    if not done:
        said = f'hung: not done within {seconds} s'
    code = os.waitstatus_to_exitcode(status) if done else 1
    if (not done or code < 0) and hasattr(client, 'start'):
        client.start()
    # A client that hangs when it is closed has still done its case, or not: it wrote what failed.
    return done and (code == 0 or code == -signal.SIGALRM and not said), said or f'died with status {code}'


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('client')
    parser.add_argument('bootstrap')
    parser.add_argument('--flights', default='')
    parser.add_argument('--only', action='append', default=[], help='cases whose names have this in them')
    parser.add_argument('--retries', type=int, default=0, help='failed cases that get a second run')
    arguments = parser.parse_args()
    client = importlib.import_module(arguments.client)
    if hasattr(client, 'start'):
        client.start()
    retries = arguments.retries
    for name, needs, seconds, function in CASES:
        if needs & client.cannot or arguments.only and not any(word in name for word in arguments.only):
            continue
        begin = time.monotonic()
        passed, said = run(client, arguments, name, seconds, function)
        if not passed and retries > 0:
            # Machines are shared. What passes then is counted, and named.
            retries -= 1
            once = said
            passed, said = run(client, arguments, name + ' again', seconds, function)
            if passed:
                print(f'FLAKY  {client.name}: {name} failed once: {once.splitlines()[0]}', flush=True)
        print(f'{"ok    " if passed else "FAILED"} {client.name}: {name} ({(time.monotonic() - begin) * 1000:.0f} ms)', flush=True)
        if not passed:
            print(''.join(f'       | {line}\n' for line in said.splitlines()), end='', flush=True)


if __name__ == '__main__':
    main()
