"""The checks of the manifests. Usage: checks.py IMAGE-DIRECTORY, whose files are the image's. Ends with
`N passed, N failed`."""
import concurrent.futures
import sys
import time
import traceback

# In the order of their report; importing them registers them.
import manifest_checks  # noqa: F401
import program_checks
from registry import CHECKS, WAITING


def run(function):
    """Its lines for the report, and whether it passed."""
    begin, name = time.monotonic(), function.__name__.replace('_', ' ')
    try:
        function()
        return f'ok     {name} ({(time.monotonic() - begin) * 1000:.0f} ms)', True
    except Exception as error:
        text = str(error) if isinstance(error, AssertionError) else traceback.format_exc()
        return '\n'.join([f'FAILED {name}'] + ['       | ' + line for line in text.splitlines()[-40:]]), False


def main():
    program_checks.copied_image()
    outcomes = []
    # Those that mostly wait, beside those that compute.
    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        waiting = [pool.submit(run, function) for function in CHECKS if function in WAITING]
        for function in CHECKS:
            if function not in WAITING:
                outcomes.append(run(function))
                print(outcomes[-1][0], flush=True)
        for future in waiting:
            outcomes.append(future.result())
            print(outcomes[-1][0], flush=True)
    passed = sum(outcome for _, outcome in outcomes)
    print(f'{passed} passed, {len(outcomes) - passed} failed')
    sys.exit(passed != len(outcomes))


main()
