"""What every client sends and reads, as one kind of record; and a look at the batches that a broker really has."""
import dataclasses
import io
import socket
import struct
from typing import Optional

CODECS = ['none', 'gzip', 'snappy', 'lz4', 'zstd']      # by their number in a batch's attributes


@dataclasses.dataclass
class Record:
    key: Optional[bytes] = None
    value: Optional[bytes] = None
    headers: tuple = ()                     # pairs of a name and bytes or None
    timestamp: Optional[int] = None         # in milliseconds; None: the client's own
    partition: Optional[int] = None         # None: by the client's partitioner
    offset: int = -1

    def what(self):
        """What a consumer must get back just so."""
        return self.key, self.value, tuple(self.headers)


class Refused(Exception):
    """An error of Kafka's, by its number, whatever the client makes of it."""

    def __init__(self, code, message=''):
        super().__init__(f'error {code}: {message}')
        self.code = code


def packed(records):
    """Records as bytes, for a client that is not Python: see JavaClient.java."""
    out = io.BytesIO()
    for r in records:
        out.write(struct.pack('>iqq', -1 if r.partition is None else r.partition, r.offset,
                              -1 if r.timestamp is None else r.timestamp))
        for data in (r.key, r.value):
            out.write(_sized(data))
        out.write(struct.pack('>i', len(r.headers)))
        for name, value in r.headers:
            out.write(_sized(name.encode()) + _sized(value))
    return out.getvalue()


def unpacked(data):
    reader, found = io.BytesIO(data), []
    while reader.tell() < len(data):
        partition, offset, timestamp = struct.unpack('>iqq', reader.read(20))
        key, value = _bytes(reader), _bytes(reader)
        count, = struct.unpack('>i', reader.read(4))
        headers = tuple((_bytes(reader).decode(), _bytes(reader)) for _ in range(count))
        found.append(Record(key, value, headers, timestamp, partition, offset))
    return found


def _sized(data):
    return struct.pack('>i', -1) if data is None else struct.pack('>i', len(data)) + data


def _bytes(reader):
    length, = struct.unpack('>i', reader.read(4))
    return None if length < 0 else reader.read(length)


@dataclasses.dataclass
class Batch:
    offset: int
    codec: str
    transactional: bool
    control: bool
    producer_id: int
    sequence: int
    records: int


def batches(bootstrap, topic, partition=0):
    """The headers of all batches of a partition, read by Fetch version 4 over a socket: what clients hide."""
    host, port = bootstrap.rsplit(':', 1)
    found, offset = [], 0
    with socket.create_connection((host, int(port)), 20) as connection, connection.makefile('rb') as answers:
        while True:
            name = topic.encode()
            body = struct.pack('>hhih5siiiibih', 1, 4, 1, 5, b'look!', -1, 100, 1, 1 << 26, 0, 1, len(name)) + name
            body += struct.pack('>iiqi', 1, partition, offset, 1 << 26)
            connection.sendall(struct.pack('>i', len(body)) + body)
            answer = io.BytesIO(answers.read(struct.unpack('>i', answers.read(4))[0]))
            answer.read(4 + 4 + 4 + 2 + len(name) + 4 + 4)      # correlation, throttle, topics, name, partitions, partition
            error, high_watermark, _, aborted = struct.unpack('>hqqi', answer.read(22))
            if error:
                raise Refused(error, 'Fetch version 4')
            answer.read(16 * max(aborted, 0))
            data = _bytes(answer) or b''
            at = 0
            while at + 61 <= len(data):
                base, length = struct.unpack_from('>qi', data, at)
                if at + 12 + length > len(data):
                    break
                attributes, last = struct.unpack_from('>hi', data, at + 21)
                producer_id, _, sequence, count = struct.unpack_from('>qhii', data, at + 43)
                found.append(Batch(base, CODECS[attributes & 7], bool(attributes & 16), bool(attributes & 32),
                                   producer_id, sequence, count))
                offset = base + last + 1
                at += 12 + length
            if offset >= high_watermark:
                return found
            if at == 0:
                raise Refused(-1, f'no batch at offset {offset} below the high watermark {high_watermark}')
