"""The brokers whose power tools/lib/power-cut cuts: how each is started, written to and read.

A broker has `command` and `ready`, what it says when it can be used; `create`, `writer`, `append` and `read`, which
raise RuntimeError, or TopicGone. Line i that is written to a partition has offset i there.
"""
import base64
import json
import os
import socket
import subprocess

PATIENCE = 60                # seconds after which whatever hangs is a failure


class TopicGone(RuntimeError):
    """What was created, and acknowledged, is not there."""


class Rdmad:
    """`rdmad serve`, and its clients in processes of their own."""

    ready = r' ready$'
    topic = 'cuts'

    def __init__(self, program, disk, work, settings):
        self.program, self.work = program, work
        address = f'shm://{work}/rdmad.sock'
        self.command = [program, 'serve', '--data', disk + '/data', '--listen', address, *settings.split()]
        os.environ['RDMAD_BROKER'] = address

    def create(self, partitions):
        done = self._run('topic', 'create', self.topic, '--partitions', str(partitions))
        if done.returncode and b'TOPIC_ALREADY_EXISTS' not in done.stderr:
            raise RuntimeError(f'the topic cannot be created: {done.stderr.decode()}')

    def writer(self, partitions):
        return RdmadWriter(self, partitions)

    def append(self, partition, value):
        self._check(self._run('produce', self.topic, '--partition', str(partition), '--quiet', input=value + b'\n'))

    def read(self, partitions):
        """Pairs of offset and value, for each partition."""
        done = self._check(self._run('consume', self.topic, '--exit-at-end', '--format', '%p %o %s\\n'))
        found = [[] for _ in range(partitions)]
        for line in done.stdout.splitlines():
            partition, offset, value = line.split(b' ', 2)
            found[int(partition)].append((int(offset), value))
        return found

    def _run(self, *arguments, input=b''):
        return subprocess.run([self.program, *arguments], input=input, capture_output=True, timeout=PATIENCE)

    def _check(self, done):
        if b'UNKNOWN_TOPIC' in done.stderr:
            raise TopicGone('the acknowledged topic is gone')
        if done.returncode:
            raise RuntimeError(f'rdmad {" ".join(done.args[1:])}: {done.stderr.decode()}')
        return done


class RdmadWriter:
    """One `rdmad produce` per partition, which lives through a broker's restart."""

    def __init__(self, broker, partitions):
        self.acks, self.rest, self.processes = [], [b''] * partitions, []
        for partition in range(partitions):
            pipe = f'{broker.work}/acks-{partition}'
            os.mkfifo(pipe)
            self.acks.append(os.open(pipe, os.O_RDWR | os.O_NONBLOCK))
            self.processes.append(subprocess.Popen(
                [broker.program, 'produce', broker.topic, '--partition', str(partition), '--acks-log', pipe, '--quiet'],
                stdin=subprocess.PIPE))

    def write(self, partition, lines):
        self.processes[partition].stdin.write(b''.join(line + b'\n' for line in lines))
        self.processes[partition].stdin.flush()

    def acknowledgements(self):
        """Those that have come: partition, offset, count."""
        for partition, pipe in enumerate(self.acks):
            try:
                *lines, self.rest[partition] = (self.rest[partition] + os.read(pipe, 1 << 16)).split(b'\n')
            except BlockingIOError:
                continue
            for line in lines:
                yield tuple(map(int, line.split()))

    def finish(self):
        for process in self.processes:
            process.stdin.close()
        for process in self.processes:
            if process.wait(PATIENCE):
                raise RuntimeError(f'rdmad produce ended with {process.returncode}')


class PeerWriter:
    """Writes to a peer's one partition; returns when everything is acknowledged."""

    def __init__(self, peer):
        self.peer, self.written, self.reported = peer, 0, 0

    def write(self, partition, lines):
        self.peer.write(lines)
        self.written += len(lines)

    def acknowledgements(self):
        if self.written > self.reported:
            yield 0, self.reported, self.written - self.reported
        self.reported = self.written

    def finish(self):
        pass


class Peer:
    """A broker on a TCP port, with one partition."""

    def connect(self):
        connection = socket.create_connection(('127.0.0.1', self.port), PATIENCE)
        return connection, connection.makefile('rb')

    def writer(self, partitions):
        if partitions != 1:
            raise RuntimeError('a peer has one partition')
        return PeerWriter(self)

    def append(self, partition, value):
        self.write([value])


class Nats(Peer):
    """A JetStream stream in files; the settings are lines of the server's `jetstream` block."""

    ready = r'Server is ready$'
    port = 4222

    def __init__(self, program, disk, work, settings):
        with open(work + '/nats.conf', 'w') as file:
            file.write(f'listen: "127.0.0.1:{self.port}"\n'
                       f'jetstream {{\n store_dir: "{disk}"\n max_file_store: 32MB\n {settings}\n}}\n')
        self.command = [program, '-c', work + '/nats.conf']

    def create(self, partitions):
        self._ask('$JS.API.STREAM.CREATE.CUTS', {'name': 'CUTS', 'subjects': ['cuts'], 'storage': 'file'})

    def write(self, lines):
        self._checked(self._request([('cuts', line) for line in lines]))

    def read(self, partitions):
        state = self._ask('$JS.API.STREAM.INFO.CUTS', {})['state']
        numbers = range(state['first_seq'], state['last_seq'] + 1) if state['messages'] else []
        answers = self._request(
            [('$JS.API.STREAM.MSG.GET.CUTS', json.dumps({'seq': number}).encode()) for number in numbers])
        messages = [answer['message'] for answer in answers if 'message' in answer]
        return [sorted((message['seq'] - 1, base64.b64decode(message['data'])) for message in messages)]

    def _ask(self, subject, body):
        return self._checked(self._request([(subject, json.dumps(body).encode())]))[0]

    def _checked(self, answers):
        for error in (answer['error'] for answer in answers if 'error' in answer):
            if error['description'] == 'stream not found':
                raise TopicGone('the acknowledged stream is gone')
            raise RuntimeError(f'NATS answers {error}')
        return answers

    def _request(self, requests):
        """The answers to requests, pairs of a subject and bytes (docs.nats.io: client protocol, JetStream wire API)."""
        connection, answers = self.connect()
        with connection, answers:
            connection.sendall(b'CONNECT {"verbose":false,"headers":true,"no_responders":true}\r\nSUB inbox 1\r\n')
            for subject, body in requests:
                connection.sendall(f'PUB {subject} inbox {len(body)}\r\n'.encode() + body + b'\r\n')
            return [self._answer(connection, answers) for _ in requests]

    def _answer(self, connection, answers):
        while True:
            line = answers.readline()
            if line.startswith(b'MSG '):
                return json.loads(answers.read(int(line.split()[-1]) + 2))
            if line.startswith(b'HMSG '):       # nobody is there to answer
                raise TopicGone('the acknowledged stream is gone')
            if line.startswith(b'PING'):
                connection.sendall(b'PONG\r\n')
            elif not line or line.startswith(b'-ERR'):
                raise RuntimeError(f'NATS says {line}')


class Redis(Peer):
    """A stream in the append-only file."""

    ready = r'Ready to accept connections'
    port = 6379

    def __init__(self, program, disk, work, settings):
        self.command = [program, '--bind', '127.0.0.1', '--port', str(self.port), '--dir', disk, *settings.split()]

    def create(self, partitions):
        pass        # the first record does

    def write(self, lines):
        self._request([(b'XADD', b'cuts', b'*', b'line', line) for line in lines])

    def read(self, partitions):
        entries, = self._request([(b'XRANGE', b'cuts', b'-', b'+')])
        return [[(at, fields[1]) for at, (_, fields) in enumerate(entries)]]

    def _request(self, commands):
        """The answers to commands: redis.io, RESP2."""
        connection, answers = self.connect()
        with connection, answers:
            for words in commands:
                bulk = (b'$%d\r\n%s\r\n' % (len(word), word) for word in words)
                connection.sendall(b'*%d\r\n' % len(words) + b''.join(bulk))
            return [self._answer(answers) for _ in commands]

    def _answer(self, answers):
        line = answers.readline()
        kind, rest = line[:1], line[1:-2]
        if kind == b'*':
            return [self._answer(answers) for _ in range(int(rest))]
        if kind == b'$':
            return answers.read(int(rest) + 2)[:-2]
        if kind not in (b'+', b':'):
            raise RuntimeError(f'Redis says {line}')
        return rest


BROKERS = {'rdmad': Rdmad, 'nats': Nats, 'redis': Redis}
