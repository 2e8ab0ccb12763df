"""Rows 1 to 5 and 22: how the plugin and the kubelet find each other, and lose each other."""
import os
import random
import signal
import socket
import statistics
import sys
import threading
import time

from api import pb
from bench import HCA, case, until

COUNT = 8


def begin(b, poll_interval='0.2', **options):
    """A plugin with two HCAs of four shares, registered with a kubelet."""
    b.two_hcas()
    kubelet = b.kubelet(**options).start()
    b.start(poll_interval=poll_interval)
    kubelet.wait_count(HCA, COUNT)
    return kubelet


@case(1, controls=['register-before-serve'])
def register_only_when_listening(b):
    b.two_hcas()
    failures = []
    kubelet = b.kubelet()

    def connect(request):
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(os.path.join(kubelet.directory, request.endpoint))
            except OSError as error:
                failures.append(f'{request.endpoint} does not accept when it is registered: {error}')
    kubelet.on_register = connect
    kubelet.start()
    b.start()
    kubelet.wait_count(HCA, COUNT)
    assert not failures, failures
    [registration] = kubelet.seen('register', HCA)
    assert '/' not in registration[3]['endpoint'], registration
    options = kubelet.endpoints[HCA].options
    assert registration[3]['options'] == options, f'in Register {registration[3]["options"]}, asked for {options}'
    assert len(kubelet.seen('stream', HCA)) == 1, kubelet.events


@case(1, controls=['exit-on-refusal', 'no-backoff'])
def refused_again_and_again(b):
    b.two_hcas()
    kubelet = b.kubelet()
    times = []

    def refuse(_request):
        times.append(time.monotonic())
        if len(times) <= 4:
            raise ValueError('not today')
    kubelet.on_register = refuse
    kubelet.start()
    b.start()
    kubelet.wait_count(HCA, COUNT, seconds=15)
    gaps = [b - a for a, b in zip(times, times[1:])]
    assert b.plugin.alive()
    assert min(gaps) > 0.1 and gaps[-1] > 1.5 * gaps[0] and max(gaps) < 31, f'no backoff with growing pauses: {gaps}'
    if not b.control:
        assert 'not today' in b.plugin.text(), "the kubelet's reason is not in the log"


@case(1, controls=['impatient'])
def slow_register(b):
    b.two_hcas()
    kubelet = b.kubelet()
    kubelet.on_register = lambda request: time.sleep(10)
    kubelet.start()
    b.start()
    kubelet.wait_count(HCA, COUNT, seconds=15)
    time.sleep(0.5)
    assert len(kubelet.seen('register', HCA)) == 1, 'asked again while the kubelet was still at it'
    assert kubelet.count(HCA) == (COUNT, COUNT)


@case(1, controls=['exit-on-refusal'])
def kubelet_dies_in_register(b):
    b.two_hcas()
    kubelet = b.kubelet()

    def die(_request):
        kubelet.on_register = lambda request: None
        threading.Thread(target=kubelet.stop, args=(True,)).start()
        time.sleep(1)
    kubelet.on_register = die
    kubelet.start()
    b.start()
    kubelet.wait(lambda: kubelet.seen('stop'), 10, 'the kubelet dies')
    time.sleep(1)
    kubelet.start()
    kubelet.wait_count(HCA, COUNT, seconds=5)
    assert b.plugin.alive()


@case(1, controls=['exit-on-refusal'])
def kubelet_comes_much_later(b):
    b.two_hcas()
    b.start()
    time.sleep(1.5)
    assert b.plugin.alive()
    kubelet = b.kubelet().start()
    kubelet.wait_count(HCA, COUNT, seconds=2)
    kubelet.stop()
    kubelet.on_register = lambda request: (_ for _ in ()).throw(ValueError('no'))
    kubelet.start()
    kubelet.wait(lambda: len(kubelet.seen('refused')) > 1, 5, 'asks again')


def restart_many(b, times, **options):
    kubelet = begin(b, **options)
    pods = kubelet.allocate(HCA, 2, pod='a-pod')[0]
    took = []
    for number in range(times):
        # By turns: an orderly end, a kill that leaves the socket, and one that stays away for a moment.
        kubelet.stop(leave_socket=number % 2 == 1)
        if number % 3 == 2:
            time.sleep(0.05)
        kubelet.start()
        began = time.monotonic()
        kubelet.wait_count(HCA, COUNT, seconds=2)
        took.append(time.monotonic() - began)
        assert set(pods) <= set(kubelet.healthy(HCA)), f'the ids {pods} of a pod are gone: {kubelet.ids(HCA)}'
        assert kubelet.pods['a-pod']['ids'] == pods
    time.sleep(0.3)
    assert kubelet.count(HCA) == (COUNT, COUNT)
    assert not kubelet.overlaps(), kubelet.overlaps()
    print(f'figure: {times} restarts: back after {statistics.median(took) * 1000:.0f} ms, '
          f'at most {max(took) * 1000:.0f} ms')


@case(2, controls=['blind'])
def kubelet_restarted_fifty_times(b):
    restart_many(b, 50)


@case(2, controls=['blind'])
def kubelet_1_20_restarted_ten_times(b):
    # By inotify alone.
    restart_many(b, 10, style='1.20', poll_interval='3600')


@case(2, controls=['no-socket-check'])
def own_socket_deleted(b):
    # By inotify alone.
    kubelet = begin(b, poll_interval='3600')
    for _ in range(3):
        since = len(kubelet.events)
        for name in b.own_sockets():
            os.unlink(os.path.join(kubelet.directory, name))
        kubelet.wait(lambda: kubelet.seen('register', HCA, since), 5, 'registers anew')
        kubelet.wait_count(HCA, COUNT, seconds=5)
        assert b.own_sockets(), 'no socket'


@case(2, controls=['blind'])
def directory_wiped_without_a_new_kubelet_socket(b):
    """Everything but kubelet.sock goes; and then the whole directory is another one."""
    kubelet = begin(b)
    kubelet.stop()
    os.rename(kubelet.directory, kubelet.directory + '-old')
    time.sleep(0.2)
    kubelet.start()
    kubelet.wait_count(HCA, COUNT, seconds=5)


@case(2)
def no_inotify_watch_is_left(b):
    """fs.inotify.max_user_watches is used up: said once, with what to do, and changes are found by looking."""
    b.two_hcas()
    kubelet = b.kubelet().start()
    # A user namespace has a limit of its own.
    b.start(prefix=['unshare', '--user', '--map-root-user', 'sh', '-c',
                    'echo 0 >/proc/sys/user/max_inotify_watches && exec "$@"', 'sh'])
    kubelet.wait_count(HCA, COUNT)
    kubelet.restart()
    kubelet.wait_count(HCA, COUNT, seconds=5)
    b.write_config(b.resource(shares=2))
    kubelet.wait_count(HCA, 4, seconds=5)
    said = [line for line in b.plugin.text().splitlines() if 'raise fs.inotify.max_user_watches' in line]
    assert len(said) == 1 and kubelet.directory in said[0], b.plugin.text()


@case(3, controls=['no-watchdog'])
def stream_cut_with_both_sockets_untouched(b):
    kubelet = begin(b)
    for _ in range(3):
        kubelet.cut(HCA)
        kubelet.wait(lambda: kubelet.count(HCA) == (COUNT, 0), 2, 'the kubelet takes the devices for gone')
        kubelet.wait_count(HCA, COUNT, seconds=10)
    assert not kubelet.overlaps(), kubelet.overlaps()


@case(4, controls=['late-end'])
def old_stream_ends_before_the_new_registration(b):
    kubelet = begin(b)
    for _ in range(5):
        since = len(kubelet.events)
        for name in b.own_sockets():
            os.unlink(os.path.join(kubelet.directory, name))
        kubelet.wait(lambda: kubelet.seen('register', HCA, since), 5, 'registers anew')
        kubelet.wait(lambda: kubelet.seen('message', HCA, since), 5, 'sends its list')
        time.sleep(0.5)         # a late end of the old stream would come now
        assert not kubelet.overlaps(), f'registered while its old stream was open: {kubelet.overlaps()}'
        assert kubelet.count(HCA) == (COUNT, COUNT), f'{kubelet.count(HCA)} after a registration'
        order = [e[1] for e in kubelet.events[since:] if e[2] == HCA and e[1] in ('end', 'register', 'stream')]
        assert order == ['end', 'register', 'stream'], order


@case(4, shown_by='late-end')
def kubelet_has_the_trap(b):
    """The late end of an old stream takes the new registration with it, for good; in 1.20 it did not."""
    b.two_hcas()
    for style in ('1.20', '1.36'):
        kubelet = b.kubelet(style=style).start()
        b.start()
        kubelet.wait_count(HCA, COUNT)
        since = len(kubelet.events)
        os.unlink(os.path.join(kubelet.directory, b.own_sockets()[0]))
        if style == '1.20':
            kubelet.wait(lambda k=kubelet, s=since: k.seen('disconnected', HCA, s), 5, 'the old stream ends')
            assert kubelet.count(HCA) == (COUNT, COUNT), kubelet.count(HCA)
        else:
            kubelet.wait(lambda k=kubelet: k.count(HCA) == (COUNT, 0), 5, 'allocatable falls to 0')
        assert kubelet.overlaps()
        b.plugin.end()
        kubelet.stop()


@case(5, controls=['no-socket-check'])
def socket_wiped_at_register_kubelet_1_20(b):
    """Register succeeds, and no stream ever comes: the kubelet dials a socket that is gone."""
    b.two_hcas()
    kubelet = b.kubelet(style='1.20')

    def wipe(request):
        kubelet.on_register = lambda request: None
        os.unlink(os.path.join(kubelet.directory, request.endpoint))
    kubelet.on_register = wipe
    kubelet.start()
    b.start()
    kubelet.wait_count(HCA, COUNT, seconds=5)


@case(5, controls=['exit-on-refusal'])
def socket_wiped_at_register_kubelet_1_36(b):
    """The kubelet fails to dial back for ten seconds, then Register fails."""
    b.two_hcas()
    kubelet = b.kubelet()

    def wipe(request):
        kubelet.on_register = lambda request: None
        os.unlink(os.path.join(kubelet.directory, request.endpoint))
    kubelet.on_register = wipe
    kubelet.start()
    b.start()
    kubelet.wait_count(HCA, COUNT, seconds=20)
    assert b.plugin.alive()


@case(5, controls=['blind'])
def plugin_first_then_kubelet_wipes(b):
    """The plugin is up before the kubelet, which wipes whatever it finds, at any moment."""
    b.two_hcas()
    chance = random.Random(7)
    for style in ('1.36', '1.20'):
        kubelet = b.kubelet(style=style)
        for _ in range(5):
            b.start()
            time.sleep(chance.uniform(0, 0.3))
            # A stale socket of the kubelet before: the plugin may be talking to it just now.
            kubelet.stop(leave_socket=True)
            kubelet.start()
            kubelet.wait_count(HCA, COUNT, seconds=6)
            kubelet.restart()
            kubelet.wait_count(HCA, COUNT, seconds=6)
            b.plugin.end()
            kubelet.stop()


@case(6, controls=['ids-of-a-run'])
def plugin_restarted_ten_times(b):
    """By turns killed and asked to end; the kubelet stays."""
    kubelet = begin(b)
    ids = kubelet.ids(HCA)
    pod = kubelet.allocate(HCA, 3, pod='a-pod')[0]
    for number in range(10):
        b.plugin.end(signal.SIGKILL if number % 2 else signal.SIGTERM)
        kubelet.wait(lambda: kubelet.count(HCA) == (COUNT, 0), 3, 'allocatable falls to 0')
        b.start()
        kubelet.wait_count(HCA, COUNT, seconds=5)
        assert kubelet.ids(HCA) == ids, 'the ids have changed'
        assert set(pod) <= set(ids)


@case(4, controls=['blind'])
def the_old_plugin_ends_after_the_new_one_has_begun(b):
    """As with maxSurge: the old one's stream ends late, and it takes away a socket by that name. The trap again."""
    b.two_hcas()
    kubelet = b.kubelet().start()
    old = b.start()
    kubelet.wait_count(HCA, COUNT)
    since = len(kubelet.events)
    b.choose_metrics_port()
    b.start()
    kubelet.wait(lambda: kubelet.seen('message', HCA, since), 5, 'the new one sends its list')
    old.end(signal.SIGTERM)
    time.sleep(0.5)
    # Ten seconds of these are the kubelet's, when the old one's socket was there just as it dialled.
    kubelet.wait_count(HCA, COUNT, seconds=20)
    time.sleep(1)
    assert kubelet.count(HCA) == (COUNT, COUNT) and b.own_sockets(), kubelet.count(HCA)


@case(22, controls=['deaf', 'leaves-socket'])
def sigterm(b):
    kubelet = begin(b)
    status, seconds = b.plugin.end(signal.SIGTERM)
    assert status == 0, f'status {status}'
    assert seconds < 2, f'{seconds:.1f} s'
    kubelet.wait(lambda: kubelet.seen('end', HCA), 2, 'the stream ends')
    assert b.own_sockets() == [], f'left behind: {b.own_sockets()}'
    print(f'figure: SIGTERM to the end: {seconds * 1000:.0f} ms')


@case(22, controls=['deaf'])
def sigterm_while_registering(b):
    b.two_hcas()
    kubelet = b.kubelet()
    kubelet.on_register = lambda request: time.sleep(6)
    kubelet.start()
    b.start()
    kubelet.wait(lambda: kubelet.seen('register', HCA), 5, 'registers')
    status, seconds = b.plugin.end(signal.SIGTERM)
    assert status == 0 and seconds < 2, f'status {status} after {seconds:.1f} s'


@case(22)
def sigterm_without_a_kubelet(b):
    b.two_hcas()
    b.start()
    until(lambda: b.get('/healthz')[0] == 200, 5, 'is up')
    status, seconds = b.plugin.end(signal.SIGTERM)
    assert status == 0 and seconds < 2, f'status {status} after {seconds:.1f} s'


@case(22, controls=['deaf'], honest=False)
def sigterm_that_was_blocked_at_the_start(b):
    """A child inherits what its parent has blocked."""
    b.two_hcas()
    block = ('import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT}); '
             'os.execv(sys.argv[1], sys.argv[1:])')
    b.start(prefix=[sys.executable, '-c', block])
    until(lambda: b.get('/healthz')[0] == 200, 5, 'is up')
    status, seconds = b.plugin.end(signal.SIGTERM)
    assert status == 0 and seconds < 2, f'status {status} after {seconds:.1f} s'


@case(22)
def sigterm_while_a_resource_ends(b):
    """One that has just left the configuration ends before the plugin does: its socket is taken away."""
    b.two_hcas()
    kubelet = b.kubelet().start()
    b.start(b.resource(), b.resource('rdmad.dev/other', 1))
    kubelet.wait_count('rdmad.dev/other', 2)
    kubelet.wait_count(HCA, COUNT)
    with socket.socket(socket.AF_UNIX) as held:
        # A connection that stays makes the end last a second.
        held.connect(os.path.join(kubelet.directory, 'rdmad.dev_other.sock'))
        time.sleep(0.2)
        b.write_config(b.resource())
        until(lambda: 'read again' in b.plugin.text(), 5, 'the resource has left')
        status, _ = b.plugin.end(signal.SIGTERM)
    assert status == 0, status
    assert b.own_sockets() == [], f'left behind: {b.own_sockets()}'


@case(0)
def the_wire_is_the_documented_one(b):
    """The field numbers of the API, which both sides here take from one file."""
    del b
    want = {
        'RegisterRequest': 'version endpoint resource_name options',
        'DevicePluginOptions': 'pre_start_required get_preferred_allocation_available',
        'Device': 'id health topology', 'TopologyInfo': 'nodes', 'NUMANode': 'id',
        'ListAndWatchResponse': 'devices',
        'PreferredAllocationRequest': 'container_requests', 'PreferredAllocationResponse': 'container_responses',
        'ContainerPreferredAllocationRequest': 'available_device_ids must_include_device_ids allocation_size',
        'ContainerPreferredAllocationResponse': 'device_ids',
        'AllocateRequest': 'container_requests', 'ContainerAllocateRequest': 'device_ids',
        'AllocateResponse': 'container_responses',
        'ContainerAllocateResponse': 'envs mounts devices annotations cdi_devices',
        'Mount': 'container_path host_path read_only', 'DeviceSpec': 'container_path host_path permissions',
        'CDIDevice': 'name', 'PreStartContainerRequest': 'device_ids', 'PreStartContainerResponse': '', 'Empty': '',
    }
    for message, names in want.items():
        fields = getattr(pb, message).DESCRIPTOR.fields
        assert [(f.name, f.number) for f in fields] == list(zip(names.split(), range(1, 99))), message
    services = pb.DESCRIPTOR.services_by_name
    assert services['DevicePlugin'].full_name == 'v1beta1.DevicePlugin'
    assert services['Registration'].full_name == 'v1beta1.Registration'
    assert services['DevicePlugin'].methods_by_name['ListAndWatch'].server_streaming
