"""What the cases are made of: a client under test, its records, and how they are compared."""
import itertools
import os
import random
import re
import threading
import time
import zlib

from records import Record, Refused

CASES = []
BASE = int(time.time()) * 1000 - 3_600_000     # the first record's timestamp: brokers delete what is older than a week


def case(name, needs=(), seconds=60):
    """Registers a case: its line's name, what its client must be able to do, and when it counts as hung."""
    def register(function):
        CASES.append((name, set(needs), seconds, function))
        return function
    return register


class Failed(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Failed(message() if callable(message) else message)


def equal(got, expected, what):
    check(got == expected, lambda: f'{what}: got {got!r:.300}, expected {expected!r:.300}')


def until(condition, what, seconds=30):
    """Waits for what needs time on any broker, such as a rebalance."""
    end = time.monotonic() + seconds
    while not condition():
        check(time.monotonic() < end, lambda: f'{what}: not within {seconds} s')
        time.sleep(0.05)


class Bench:
    """A client under test, a topic's name for its case, and what is to be closed."""

    def __init__(self, client, bootstrap, name, flights):
        self.client, self.bootstrap, self.flights = client, bootstrap, flights
        self.name = re.sub('[^A-Za-z0-9_]+', '-', f'{client.name}-{name}-{os.getpid()}')
        self.topic = self.name
        self.open = []

    def can(self, what):
        return what not in self.client.cannot

    def _kept(self, thing):
        self.open.append(thing)
        return thing

    def producer(self, **config):
        return self._kept(self.client.Producer(self.bootstrap, **config))

    def consumer(self, **config):
        return self._kept(self.client.Consumer(self.bootstrap, **config))

    def admin(self):
        return self._kept(self.client.Admin(self.bootstrap))

    def create(self, partitions=4, **configs):
        self.admin().create_topic(self.topic, partitions, **configs)

    def at_start(self, partitions, **config):
        consumer = self.consumer(**config)
        consumer.assign(self.topic, partitions)
        return consumer

    def random(self):
        return random.Random(zlib.crc32(self.name.encode()))


def some(count, partition=0, start=0, **fields):
    return [Record(b'key-%d' % (i % 10), b'value-%d-' % i + b'x' * (i % 100), (), BASE + i * 1000, partition, **fields)
            for i in range(start, start + count)]


def read(consumer, count, seconds=30, more=0.5):
    """As many records as are expected, and whatever else comes."""
    found, end = [], time.monotonic() + seconds
    while len(found) < count and time.monotonic() < end:
        found += consumer.poll(0.2)
    end = time.monotonic() + more
    while time.monotonic() < end:
        found += consumer.poll(more / 2)
    return found


def compare(bench, got, sent, offsets=True):
    """Record by record, partition by partition: nothing lost, doubled, changed or out of order."""
    equal(len(got), len(sent), 'records')
    for partition in sorted({record.partition for record in got}):
        here = [record for record in got if record.partition == partition]
        if offsets:
            equal([record.offset for record in here], list(range(len(here))), f'offsets of partition {partition}')
        if sent[0].partition is None:
            continue
        for found, wanted in itertools.zip_longest(here, [record for record in sent if record.partition == partition]):
            equal(found and found.what(), wanted and wanted.what(), f'a record of partition {partition}')
            if bench.can('timestamp') and wanted.timestamp is not None:
                equal(found.timestamp, wanted.timestamp, f'the timestamp of offset {found.offset}')


def round_trip(bench, records, partitions=(0,), **config):
    producer = bench.producer(**config)
    producer.send(bench.topic, records)
    producer.close()
    got = read(bench.at_start(list(partitions)), len(records))
    compare(bench, got, records)
    return got


class Member:
    """A consumer that polls on a thread of its own, as members of a group do."""

    def __init__(self, bench, **config):
        self.found, self.partitions, self.leaving, self.error = [], set(), False, None
        self.consumer = bench.client.Consumer(bench.bootstrap, group_id=bench.name, **config)
        self.consumer.subscribe(bench.topic)
        self.thread = threading.Thread(target=self._poll, daemon=True)
        self.thread.start()

    def _poll(self):
        try:
            while not self.leaving:
                self.found += self.consumer.poll(0.1)
                self.partitions = self.consumer.assignment()
            self.consumer.close()
        except Refused as refused:
            self.error = refused

    @property
    def assignment(self):
        if self.error:
            raise self.error
        return self.partitions

    def leave(self):
        self.leaving = True
        self.thread.join(20)
