"""Rows 17 to 19 and 21: where it runs, as whom, what it tells, and what it costs."""
import json
import os
import re
import select
import shutil
import signal
import socket
import statistics
import time

from bench import CASES, HCA, case, until
from peer import Kubelet


@case(17, controls=['fixed-root'])
def a_kubelet_with_another_root(b):
    b.two_hcas()
    root = os.path.join(b.directory, 'data/kubelet')
    os.makedirs(os.path.join(root, 'device-plugins'))
    kubelet = Kubelet(root)
    b.kubelets.append(kubelet)
    kubelet.start()
    b.start(kubelet_root=root)
    kubelet.wait_count(HCA, 8)
    assert os.listdir(os.path.join(b.root, 'device-plugins')) == []


@case(17)
def a_path_too_long_for_a_socket(b):
    b.two_hcas()
    root = os.path.join(b.directory, 'long' * 20)
    os.makedirs(os.path.join(root, 'device-plugins'))
    b.start(kubelet_root=root)
    until(lambda: not b.plugin.alive(), 10, 'gives up')
    assert b.plugin.process.returncode == 1
    assert root in b.plugin.text() and '107' in b.plugin.text(), b.plugin.text()


@case(17)
def a_kubelet_root_that_appears_later(b):
    b.two_hcas()
    shutil.rmtree(b.root)
    b.start()
    time.sleep(1)
    assert b.plugin.alive(), b.plugin.text()
    kubelet = b.kubelet().start()
    kubelet.wait_count(HCA, 8, seconds=10)


@case(18)
def without_privileges(b):
    """No capability, no way to get one, nothing writable but the kubelet's directory."""
    b.two_hcas()
    for name in os.listdir(os.path.join(b.node.dev, 'infiniband')):
        os.chmod(os.path.join(b.node.dev, 'infiniband', name), 0o600)
    kubelet = b.kubelet().start()
    read_only = 'mount --make-rprivate / && mount --bind "$1" "$1" && mount -o remount,bind,ro / && shift && exec "$@"'
    prefix = ['unshare', '--mount', 'sh', '-c', read_only, 'sh', b.root, 'setpriv', '--bounding-set=-all',
              '--inh-caps=-all', '--no-new-privs']
    b.start(prefix=prefix)
    kubelet.wait_count(HCA, 8)
    with open(f'/proc/{b.plugin.pid}/status') as file:
        status = dict(line.split(':', 1) for line in file.read().splitlines())
    assert int(status['CapEff'], 16) == int(status['CapBnd'], 16) == 0, status['CapEff']
    assert status['NoNewPrivs'].strip() == '1'
    b.node.set_state('mlx5_0', 'DOWN')
    kubelet.wait_count(HCA, 8, 4, seconds=5)
    kubelet.restart()
    kubelet.wait_count(HCA, 8, 4, seconds=5)
    kubelet.call_allocate(HCA, ['0000:af:00.0-0'])


@case(19, controls=['always-well'])
def healthz_is_honest(b):
    b.two_hcas()
    b.start(unhealthy_after='2')
    until(lambda: b.get('/healthz')[0] == 200, 10, 'without a kubelet it is well')

    def refuse(_request):
        raise ValueError('not today')
    time.sleep(2.2)
    kubelet = b.kubelet()
    kubelet.on_register = refuse
    kubelet.start()
    assert b.get('/healthz')[0] == 200, 'a kubelet that has just come has had no time to listen'
    until(lambda: b.get('/healthz')[0] == 503, 10, 'it has had the time')
    kubelet.on_register = lambda request: None
    kubelet.wait_count(HCA, 8, seconds=35)
    until(lambda: b.get('/healthz')[0] == 200, 5, 'with a stream it is well')
    kubelet.stop()
    kubelet.on_register = refuse
    kubelet.start()
    until(lambda: b.get('/healthz')[0] == 503, 10, 'with a kubelet and no stream it is not well')
    kubelet.on_register = lambda request: None
    kubelet.wait_count(HCA, 8, seconds=35)
    until(lambda: b.get('/healthz')[0] == 200, 5, 'well again')


SAMPLE = re.compile(r'^([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})? (\S+)$')


def metrics(b):
    """{(name, labels): value} of the Prometheus text; what is not in its format is refused."""
    status, text = b.get('/metrics')
    assert status == 200, status
    values, typed = {}, set()
    for line in text.splitlines():
        if line.startswith('# TYPE '):
            typed.add(line.split()[2])
        elif line and not line.startswith('#'):
            match = SAMPLE.match(line)
            assert match, f'not a sample: {line}'
            values[match.group(1), match.group(2) or ''] = float(match.group(3))
            assert match.group(1) in typed, f'{match.group(1)} has no type'
    assert text.endswith('\n')
    return values


def total(values, name_part, *labels):
    """The sum of the samples whose name has this part and whose labels have these; none at all is an error."""
    found = [v for (name, text), v in values.items() if name_part in name and all(label in text for label in labels)]
    assert found, f'no metric with {name_part} {labels} among {sorted(values)}'
    return sum(found)


@case(19)
def metrics_say_what_happened(b):
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start()
    kubelet.wait_count(HCA, 8)
    resource = f'resource="{HCA}"'
    # It counts when the kubelet has answered, which is after the list.
    until(lambda: total(metrics(b), 'registrations', resource) == 1, 5, 'one registration')
    values = metrics(b)
    assert values['rdmad_device_plugin_devices', f'{{{resource},health="healthy"}}'] == 8, values
    assert values['rdmad_device_plugin_devices', f'{{{resource},health="unhealthy"}}'] == 0, values
    kubelet.call_allocate(HCA, ['0000:3b:00.0-0'])
    kubelet.call_allocate(HCA, ['0000:3b:00.0-1'])
    assert total(metrics(b), 'allocations', resource) == 2
    for _ in range(3):
        kubelet.restart()
        kubelet.wait_count(HCA, 8)
    until(lambda: total(metrics(b), 'registrations', resource) == 4, 5, 'four registrations')
    values = metrics(b)
    assert total(values, 'kubelet_restarts') == 3, values
    b.node.set_state('mlx5_0', 'DOWN')
    kubelet.wait_count(HCA, 8, 4, seconds=5)
    values = metrics(b)
    assert values['rdmad_device_plugin_devices', f'{{{resource},health="unhealthy"}}'] == 4, values
    assert values['rdmad_device_plugin_stream_open', f'{{{resource}}}'] == 1, values
    assert 0 < values['rdmad_device_plugin_stream_age_seconds', f'{{{resource}}}'] < 60, values
    assert b.get('/nothing')[0] == 404


@case(19)
def metrics_with_bad_requests(b):
    """Whoever reaches the port can say what he likes to it."""
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start()
    kubelet.wait_count(HCA, 8)
    until(lambda: b.get('/healthz')[0] == 200, 5, 'is up')
    host, port = b.metrics.split(':')
    open_ones = []
    for text in (b'\0' * 1000, b'GET ' + b'/' * 100_000 + b' HTTP/1.1\r\n\r\n', b'POST /metrics HTTP/1.1\r\n'
                 b'Content-Length: 99999999999\r\n\r\n', b'GET /metrics HTTP/1.1\r\n' + b'a: b\r\n' * 20_000, b'GET'):
        connection = socket.create_connection((host, int(port)), timeout=5)
        try:
            connection.sendall(text)
        except OSError:
            pass                # closed on us: quite right
        open_ones.append(connection)
    open_ones += [socket.create_connection((host, int(port)), timeout=5) for _ in range(200)]
    assert b.get('/healthz')[0] == 200
    assert b.plugin.alive() and kubelet.count(HCA) == (8, 8)
    assert b.plugin.resident_bytes() < 100 << 20
    for connection in open_ones:
        connection.close()


@case(19)
def metrics_connections_have_a_limit(b):
    """More than 256 at once are turned away, and there is room again when they go."""
    b.two_hcas()
    b.start()
    until(lambda: b.get('/healthz')[0] == 200, 5, 'is up')
    host, port = b.metrics.split(':')
    held = [socket.create_connection((host, int(port)), timeout=5) for _ in range(300)]

    def turned_away():
        readable, _, _ = select.select(held, [], [], 0)
        return len(readable)
    until(lambda: turned_away() >= 44, 5, 'those above the limit are closed')
    assert turned_away() < 60 and b.get('/healthz')[0] == 0, turned_away()
    for connection in held:
        connection.close()
    until(lambda: b.get('/healthz')[0] == 200, 5, 'there is room again')


@case(21, controls=['fat', 'busy'], honest=False, alone=True)
def memory_and_processor_at_rest(b):
    """Eight HCAs of 64 shares, ten seconds with nothing to do, as an operator would run it."""
    for number in range(8):
        b.node.add_mellanox(f'mlx5_{number}', f'0000:{0x30 + number:02x}:00.0', f'ens{number}', numa=number % 2)
    kubelet = b.kubelet().start()
    b.start(b.resource(shares=64), poll_interval='10', log_level='info')
    kubelet.wait_count(HCA, 512)
    [message] = kubelet.seen('message', HCA)[-1:]
    kubelet.allocate(HCA, 3)
    time.sleep(1)
    before = b.plugin.cpu_seconds()
    time.sleep(10)
    used = (b.plugin.cpu_seconds() - before) / 10
    # Of a debug build most is the program's own pages: the figure k8s.memory counts all, of a release build.
    resident = b.plugin.resident_bytes('RssAnon')
    print(f'figure: {b.plugin.resident_bytes() / 1048576:.1f} MiB resident, {resident / 1048576:.1f} of them its own, '
          f'{used * 100:.2f} % of a processor at rest, the list of 512 has {message[3]["bytes"]} bytes')
    assert used <= 0.002, f'{used * 100:.2f} % of a processor at rest'
    assert resident < 30 << 20, f'{resident / 1048576:.1f} MiB'


@case(0, alone=True)
def from_start_to_registered(b):
    """No test of time: tools/figures/k8s.start-to-registered asserts that, on a release build."""
    b.two_hcas()
    kubelet = b.kubelet().start()
    took = []
    for _ in range(5):
        since = len(kubelet.events)
        plugin = b.start(log_level='info')
        kubelet.wait(lambda: kubelet.seen('message', HCA, since), 10, 'sends its list')
        took.append((kubelet.seen('message', HCA, since)[0][0] - plugin.started) * 1000)
        plugin.end(signal.SIGTERM)
    print(f'figure: from start to the list at the kubelet: {statistics.median(took):.0f} ms '
          f'({", ".join(f"{t:.0f}" for t in took)})')


@case(0)
def logs_as_json(b):
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start(log_format='json', log_level='info')
    kubelet.wait_count(HCA, 8)
    lines = b.plugin.text().splitlines()
    assert lines, 'no log'
    for line in lines:
        entry = json.loads(line)
        assert {'level', 'message'} <= set(entry), line
    assert any(HCA in line for line in lines), lines


@case(18)
def other_files_in_the_directory_are_left_alone(b):
    b.two_hcas()
    kubelet = b.kubelet().start()
    others = [os.path.join(kubelet.directory, name) for name in ('nvidia-gpu.sock', 'DEPRECATION', 'rdmad.dev_in.sock')]
    for other in others:
        with open(other, 'w') as file:
            file.write('not yours')
    # A file where its socket belongs is not its own to remove, unless it is a socket.
    b.start(b.resource(), b.resource('rdmad.dev/in'))
    kubelet.wait_count(HCA, 8)
    until(lambda: 'rdmad.dev_in.sock: Address already in use' in b.plugin.text(), 5, 'it says what is in the way')
    b.plugin.end(signal.SIGTERM)
    for other in others:
        with open(other) as file:
            assert file.read() == 'not yours', other


@case(0)
def the_comparison_names_tests_that_are_there(b):
    """docs/kubernetes.md says for each "yes" of ours which test shows it."""
    del b
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), '../../../..')
    tests = {c['name'] for c in CASES}
    for path in ('device-plugin/Tests/kubelet/rxe.py', 'device-plugin/Tests/devicemanager/rdmad_test.go',
                 'tests/manifest_checks.py', 'tests/program_checks.py'):
        with open(os.path.join(root, 'k8s', path)) as file:
            tests |= set(re.findall(r'^(?:def|func) (\w+)\(', file.read(), re.MULTILINE))
    with open(os.path.join(root, 'docs/kubernetes.md')) as file:
        table = file.read().split('## Beside other plugins')[1]
    rows = [line.split(' | ') for line in table.splitlines() if line.startswith('| ') and '**' not in line][2:]
    assert len(rows) > 20
    for row in rows:
        named = re.findall(r'`(\w+)`', row[-1])
        assert named or row[-1] == 'the same |', f'no test: {row[0]}'
        assert set(named) <= tests, f'there is no {set(named) - tests}'
