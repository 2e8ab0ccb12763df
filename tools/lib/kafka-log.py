"""Reads and writes a topic's segment files with kafka-python's record batches.

read DIRECTORY TOPIC    every record: `partition offset timestamp key value`; fails on a wrong checksum or offset
count DIRECTORY TOPIC   how many records there are, gaps allowed
index DIRECTORY TOPIC   checks each .index against its .log: Kafka's 8-byte entries
codecs DIRECTORY TOPIC  the compression types of the batches, by their numbers
write DIRECTORY TOPIC   replaces partition 0 by batches of its own, of all codecs; prints their records as `read` does
"""
import glob
import os
import struct
import sys

from kafka.record import MemoryRecords
from kafka.record.default_records import DefaultRecordBatchBuilder


def segments(directory, topic):
    for partition in sorted(glob.glob(f"{directory}/{topic}-*")):
        number = int(partition.rsplit("-", 1)[1])
        for path in sorted(glob.glob(partition + "/*.log")):
            yield number, path


def text(data):
    return "" if data is None else data.decode()


def show(partition, record):
    headers = ",".join(f"{name}={'NULL' if value is None else text(value)}" for name, value in record.headers)
    print(partition, record.offset, record.timestamp, headers or "-", text(record.key), text(record.value))


def batches(path):
    with open(path, "rb") as file:
        records = MemoryRecords(file.read())
    while records.has_next():
        yield records.next_batch()


def read(directory, topic):
    expected = {}
    for partition, path in segments(directory, topic):
        start = int(os.path.basename(path)[:-4])
        if start != expected.setdefault(partition, 0):
            sys.exit(f"{path} begins at {start}, expected {expected[partition]}")
        for batch in batches(path):
            if not batch.validate_crc():
                sys.exit(f"{path}: wrong checksum of the batch at {batch.base_offset}")
            for record in batch:
                if record.offset != expected[partition]:
                    sys.exit(f"{path}: offset {record.offset}, expected {expected[partition]}")
                expected[partition] += 1
                show(partition, record)


def count(directory, topic):
    total = 0
    for _, path in segments(directory, topic):
        for batch in batches(path):
            if not batch.validate_crc():
                sys.exit(f"{path}: wrong checksum of the batch at {batch.base_offset}")
            total += sum(1 for _ in batch)
    print(total)


def codecs(directory, topic):
    print(*sorted({batch.compression_type for _, path in segments(directory, topic) for batch in batches(path)}))


def index(directory, topic):
    checked = 0
    for _, path in segments(directory, topic):
        base = int(os.path.basename(path)[:-4])
        places, position = {}, 0
        with open(path, "rb") as file:
            data = file.read()
        while position < len(data):
            offset, length = struct.unpack_from(">qi", data, position)
            places[position] = offset + struct.unpack_from(">i", data, position + 23)[0] - base
            position += 12 + length
        with open(path[:-4] + ".index", "rb") as file:
            entries = file.read()
        if len(entries) % 8:
            sys.exit(f"{path}: its index has {len(entries)} bytes")
        for relative, position in struct.iter_unpack(">ii", entries):
            if places.get(position) != relative:
                sys.exit(f"{path}: entry {relative} at {position}, the log has {places.get(position)}")
            checked += 1
    if not checked:
        sys.exit("no index has an entry")
    print(checked, "entries are right")


def write(directory, topic):
    offset = 0
    with open(f"{directory}/{topic}-0/{0:020d}.log", "wb") as file:
        for number in range(50):
            producer = (4711, 2, offset) if number % 2 else (-1, -1, -1)
            builder = DefaultRecordBatchBuilder(
                magic=2, compression_type=number % 5, is_transactional=0, producer_id=producer[0], producer_epoch=producer[1],
                base_sequence=number // 2 * 7 if number % 2 else -1, batch_size=1 << 20)
            for delta in range(7):
                key = None if delta == 3 else b"k%d" % delta
                value = None if delta == 5 else b"v%d.%d" % (number, delta) + b" again" * 30
                headers = [("name", b"x" * delta)] if delta % 2 else []
                builder.append(delta, 1700000000000 + offset + delta, key, value, headers)
            batch = bytearray(builder.build())
            # What a broker does: base offset and leader epoch, which the checksum leaves out.
            struct.pack_into(">q", batch, 0, offset)
            struct.pack_into(">i", batch, 12, 0)
            file.write(batch)
            offset += 7
    if {batch.compression_type for batch in batches(f"{directory}/{topic}-0/{0:020d}.log")} != set(range(5)):
        sys.exit("not every codec was used")
    for record in (record for batch in batches(f"{directory}/{topic}-0/{0:020d}.log") for record in batch):
        show(0, record)


{"read": read, "count": count, "codecs": codecs, "index": index, "write": write}[sys.argv[1]](sys.argv[2], sys.argv[3])
