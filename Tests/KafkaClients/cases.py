"""What every Kafka client must be able to do with a broker. A case that a client cannot do, for want of an interface, is not
among its cases; one that a broker cannot do fails."""
import csv
import hashlib
import itertools
import time

from bench import BASE, Failed, Member, case, check, compare, equal, read, round_trip, some, until
from records import CODECS, Record, Refused, batches

MIB = 1 << 20
TOPIC_ALREADY_EXISTS, INVALID_CONFIG, NON_EMPTY_GROUP = 36, 40, 68


@case('create a topic')
def create_topic(bench):
    admin = bench.admin()
    admin.create_topic(bench.topic, 4)
    until(lambda: admin.topics().get(bench.topic) == 4, 'the topic is listed with 4 partitions')
    if bench.can('admin'):
        try:
            admin.create_topic(bench.topic, 4)
        except Refused as refused:
            return equal(refused.code, TOPIC_ALREADY_EXISTS, 'the error of creating it again')
        raise Failed('creating it again is not refused')


def produce(codec, acks):
    @case(f'produce {codec} acks={acks}')
    def run(bench):
        bench.create()
        records = some(300)
        round_trip(bench, records, acks=acks, compression_type=codec)
        found = batches(bench.bootstrap, bench.topic)
        # What a codec cannot make smaller kafka-python sends as it is: a first batch of a record or two.
        equal({batch.codec for batch in found if batch.codec == codec or batch.records > 3}, {codec},
              'how the batches are compressed')
        equal(sum(batch.records for batch in found), len(records), 'records in the batches')


for codec, acks in itertools.product(CODECS, ['0', '1', 'all']):
    produce(codec, acks)


@case('produce idempotent')
def idempotent(bench):
    bench.create()
    producer = bench.producer(enable_idempotence=True)
    sent = []
    for start in range(0, 500, 100):
        sent += some(100, start=start)
        producer.send(bench.topic, sent[start:])
    compare(bench, read(bench.at_start([0]), len(sent)), sent)
    found = batches(bench.bootstrap, bench.topic)
    ids = {batch.producer_id for batch in found}
    check(len(ids) == 1 or bench.client.name == 'kcat' and ids, f'producer ids {ids}')
    check(min(ids) >= 0, 'the batches have no producer id')
    for one in ids:
        mine = [batch for batch in found if batch.producer_id == one]
        expected = list(itertools.accumulate([0] + [batch.records for batch in mine[:-1]]))
        equal([batch.sequence for batch in mine], expected, 'sequence numbers')


@case('produce keyed')
def keyed(bench):
    bench.create()
    records = [Record(b'key-%d' % (i % 30), b'%d' % i) for i in range(600)]
    producer = bench.producer()
    producer.send(bench.topic, records)
    got = read(bench.at_start([0, 1, 2, 3]), len(records))
    compare(bench, got, records)
    check(len({record.partition for record in got}) > 1, 'all keys are in one partition')
    for key in {record.key for record in records}:
        here = [record for record in got if record.key == key]
        equal(len({record.partition for record in here}), 1, f'partitions of {key}')
        equal([record.value for record in here], [record.value for record in records if record.key == key], f'values of {key}')


@case('produce headers')
def headers(bench):
    bench.create()
    kinds = [(), (('a', b'1'),), (('a', b'1'), ('a', b'2'), ('trace-id', b'f' * 1000))]
    if bench.can('null header'):
        kinds += [(('none', None), ('empty', b'')), (('bytes', bytes(range(256))), ('\u20ac', b'\xff'))]
    round_trip(bench, [Record(b'k', b'%d' % i, kinds[i % len(kinds)], None, 0) for i in range(20)])


@case('produce 1 MiB')
def large(bench):
    bench.create(**{'max.message.bytes': '3000000'})
    if bench.can('admin'):
        round_trip(bench, [Record(b'k', bench.random().randbytes(MIB), (), None, 0) for _ in range(3)])
    else:
        # The broker's own limit is a little above 1 MiB: compressed it is far below.
        values = [(b'%d of a mebibyte, ' % i * MIB)[:MIB] for i in range(3)]
        round_trip(bench, [Record(b'k', value, (), None, 0) for value in values], compression_type='gzip')


@case('produce empty values')
def empty(bench):
    bench.create()
    contents = [(b'k', b''), (None, b'v'), (b'k', None), (b'', b'v'), (None, b'last')]
    round_trip(bench, [Record(key, value, (), None, 0) for key, value in contents])


@case('consume by assignment')
def assignment(bench):
    bench.create()
    sent = [record for partition in range(4) for record in some(50, partition, partition * 1000)]
    bench.producer().send(bench.topic, sent)
    compare(bench, read(bench.at_start([1, 3]), 100), [record for record in sent if record.partition in (1, 3)])
    compare(bench, read(bench.at_start([0, 1, 2, 3]), 200), sent)


def groups(protocol, needs):
    config = {'group_protocol': 'consumer'} if needs else {}

    @case(f'consume by group, {protocol}', needs)
    def run(bench):
        bench.create()
        producer = bench.producer()
        sent = [record for partition in range(4) for record in some(100, partition)]
        producer.send(bench.topic, sent)
        member = bench.consumer(group_id=bench.name, **config)
        member.subscribe(bench.topic)
        compare(bench, read(member, 400), sent)
        if bench.can('commit'):
            member.commit(bench.topic, {partition: 100 for partition in range(4)})
        member.close()
        more = [record for partition in range(4) for record in some(20, partition, 100)]
        producer.send(bench.topic, more)
        successor = bench.consumer(group_id=bench.name, **config)
        successor.subscribe(bench.topic)
        got = read(successor, 80)
        equal({record.offset for record in got}, set(range(100, 120)), 'offsets behind those that were committed')
        compare(bench, got, more, offsets=False)

    @case(f'rebalance, {protocol}', needs, seconds=90)
    def rebalance(bench):
        bench.create()
        everything = {0, 1, 2, 3}
        first = Member(bench, **config)
        until(lambda: first.assignment == everything, 'one member has all partitions')
        second = Member(bench, **config)
        until(lambda: len(first.assignment) == len(second.assignment) == 2, 'two members have two partitions each')
        equal(first.assignment | second.assignment, everything, 'partitions of both')
        mine = [first.assignment, second.assignment]
        sent = [record for partition in range(4) for record in some(100, partition)]
        bench.producer().send(bench.topic, sent)
        until(lambda: len(first.found) + len(second.found) >= len(sent), 'both have read everything')
        equal([{record.partition for record in member.found} for member in (first, second)], mine, 'partitions that they read')
        compare(bench, first.found + second.found, sent)
        second.leave()
        until(lambda: first.assignment == everything, 'the member that stays has all partitions')
        first.leave()


groups('classic', ())
groups('KIP-848', ('group.protocol',))


@case('seek')
def seek(bench):
    bench.create()
    sent = some(100)
    bench.producer().send(bench.topic, sent)
    consumer = bench.at_start([0])
    compare(bench, read(consumer, 100), sent)
    for offset in (50, 0, 99):
        consumer.seek(bench.topic, 0, offset)
        equal([record.offset for record in read(consumer, 100 - offset)], list(range(offset, 100)), f'offsets from {offset}')
    equal(consumer.watermarks(bench.topic, 0), (0, 100), 'the first offset and the next one')


@case('timestamps', ['timestamp'])
def timestamps(bench):
    bench.create()
    bench.producer().send(bench.topic, some(100))
    consumer = bench.at_start([0])
    for instant, offset in ((0, 0), (BASE, 0), (BASE + 4500, 5), (BASE + 99_000, 99), (BASE + 99_001, None)):
        equal(consumer.offset_for_time(bench.topic, 0, instant), offset, f'the offset for {instant - BASE} ms')


@case('offsets by time, -1 and -2')
def special_times(bench):
    bench.create()
    consumer = bench.at_start([0])
    equal(consumer.watermarks(bench.topic, 0), (0, 0), 'of an empty partition')
    before = int(time.time() * 1000) - 60_000
    bench.producer().send(bench.topic, [Record(b'k', b'v', (), None, 0)] * 7)
    equal(consumer.watermarks(bench.topic, 0), (0, 7), 'of seven records')
    equal(consumer.offset_for_time(bench.topic, 0, before), 0, 'the offset for a minute ago')


@case('commits', ['commit'])
def commits(bench):
    bench.create()
    sent = some(100)
    bench.producer().send(bench.topic, sent)
    first = bench.consumer(group_id=bench.name)
    equal(first.committed(bench.topic, 0), None, 'committed before any commit')
    first.assign(bench.topic, [0])
    read(first, 100)
    first.commit(bench.topic, {0: 40})
    equal(first.committed(bench.topic, 0), 40, 'committed')
    first.commit(bench.topic, {0: 30})
    first.close()
    second = bench.consumer(group_id=bench.name)
    equal(second.committed(bench.topic, 0), 30, 'committed, to the next consumer')
    second.subscribe(bench.topic)
    equal([record.offset for record in read(second, 70)], list(range(30, 100)), 'offsets from the committed one')


@case('describe configs', ['admin'])
def describe_configs(bench):
    admin = bench.admin()
    admin.create_topic(bench.topic, 1, **{'retention.ms': '12345000', 'max.message.bytes': '2000000'})
    configs = admin.configs(bench.topic)
    expected = {'retention.ms': '12345000', 'max.message.bytes': '2000000', 'cleanup.policy': 'delete'}
    equal({name: configs.get(name) for name in expected}, expected, 'configs')


@case('alter configs', ['admin'])
def alter_configs(bench):
    admin = bench.admin()
    admin.create_topic(bench.topic, 1, **{'retention.ms': '12345000'})
    admin.alter_config(bench.topic, 'retention.ms', '54321000')
    until(lambda: admin.configs(bench.topic).get('retention.ms') == '54321000', 'the new retention.ms', 10)
    try:
        admin.alter_config(bench.topic, 'retention.ms', 'soon')
    except Refused as refused:
        return equal(refused.code, INVALID_CONFIG, 'the error of a value that is no number')
    raise Failed('retention.ms=soon is taken')


@case('create partitions', ['admin'])
def create_partitions(bench):
    admin = bench.admin()
    admin.create_topic(bench.topic, 2)
    admin.create_partitions(bench.topic, 5)
    until(lambda: admin.topics().get(bench.topic) == 5, 'five partitions', 10)
    round_trip(bench, some(10, 4), [4])


@case('delete records', ['admin'])
def delete_records(bench):
    admin = bench.admin()
    admin.create_topic(bench.topic, 1)
    sent = some(100)
    bench.producer().send(bench.topic, sent)
    equal(admin.delete_records(bench.topic, 0, 40), 40, 'the low watermark')
    consumer = bench.at_start([0])
    equal([record.offset for record in read(consumer, 60)], list(range(40, 100)), 'offsets that are left')
    equal(consumer.watermarks(bench.topic, 0), (40, 100), 'the first offset and the next one')


def joined(bench, **config):
    bench.create()
    member = bench.consumer(group_id=bench.name, **config)
    member.subscribe(bench.topic)
    until(lambda: member.poll(0.1) is not None and member.assignment(), 'the member has partitions')
    return member


@case('list and describe groups', ['admin'])
def list_groups(bench):
    member, admin = joined(bench), bench.admin()
    check(bench.name in admin.groups(), 'the group is not listed')
    equal(admin.members(bench.name), 1, 'members')
    member.close()
    until(lambda: admin.members(bench.name) == 0, 'no member is left', 15)


@case('delete a group', ['admin', 'delete_group'])
def delete_group(bench):
    member, admin = joined(bench), bench.admin()
    try:
        admin.delete_group(bench.name)
    except Refused as refused:
        equal(refused.code, NON_EMPTY_GROUP, 'the error of deleting a group with members')
    else:
        check(bench.name in admin.groups(), 'a group with a member was deleted')
    member.commit(bench.topic, {0: 0})
    member.close()
    until(lambda: admin.members(bench.name) == 0, 'no member is left', 15)
    admin.delete_group(bench.name)
    check(bench.name not in admin.groups(), 'the group is still listed')
    equal(bench.consumer(group_id=bench.name).committed(bench.topic, 0), None, 'committed, after the deletion')


@case('delete a topic', ['admin'])
def delete_topic(bench):
    admin = bench.admin()
    admin.create_topic(bench.topic, 2)
    bench.producer().send(bench.topic, some(10))
    admin.delete_topic(bench.topic)
    until(lambda: bench.topic not in admin.topics(), 'the topic is gone', 15)
    admin.create_topic(bench.topic, 2)
    round_trip(bench, some(5))


def isolated(bench, level):
    return bench.at_start([0], isolation_level=level)


@case('transaction: commit')
def commit(bench):
    bench.create()
    producer = bench.producer(transactional_id=bench.name)
    sent = []
    for start in (0, 50):
        producer.begin()
        sent += some(50, start=start)
        producer.send(bench.topic, sent[start:])
        producer.commit()
    got = read(isolated(bench, 'read_committed'), 100)
    compare(bench, got, sent, offsets=False)
    equal([record.offset for record in got], [*range(50), *range(51, 101)], 'offsets, a marker behind each transaction')
    found = batches(bench.bootstrap, bench.topic)
    check(all(batch.transactional for batch in found), 'batches without the transaction bit')
    equal(sum(batch.control for batch in found), 2, 'markers')


@case('transaction: abort', ['open transaction'])
def abort(bench):
    bench.create()
    producer = bench.producer(transactional_id=bench.name)
    aborted, committed = some(50), some(30, start=50)
    producer.begin()
    producer.send(bench.topic, aborted)
    until(lambda: sum(batch.records for batch in batches(bench.bootstrap, bench.topic)) >= 50, 'the records are in the log', 10)
    producer.abort()
    producer.begin()
    producer.send(bench.topic, committed)
    producer.commit()
    compare(bench, read(isolated(bench, 'read_committed'), 30), committed, offsets=False)
    compare(bench, read(isolated(bench, 'read_uncommitted'), 80), aborted + committed, offsets=False)


@case('transaction: read_committed waits', ['open transaction'])
def waits(bench):
    bench.create()
    producer = bench.producer(transactional_id=bench.name)
    producer.begin()
    sent, later = some(50), some(20, start=50)
    producer.send(bench.topic, sent)
    compare(bench, read(isolated(bench, 'read_uncommitted'), 50), sent)
    # A plain record behind an open transaction waits with it.
    bench.producer().send(bench.topic, later)
    consumer = isolated(bench, 'read_committed')
    equal(read(consumer, 1, seconds=2), [], 'what read_committed sees of an open transaction')
    producer.commit()
    compare(bench, read(consumer, 70), sent + later, offsets=False)


@case('transaction: fencing', ['open transaction'])
def fencing(bench):
    bench.create()
    old = bench.producer(transactional_id=bench.name)
    old.begin()
    old.send(bench.topic, some(10))
    until(lambda: batches(bench.bootstrap, bench.topic), 'the old producer has written', 10)
    new = bench.producer(transactional_id=bench.name)
    new.begin()
    new.send(bench.topic, some(20, start=100))
    new.commit()
    try:
        old.commit()
    except Refused:
        pass
    else:
        raise Failed('the producer that another one has replaced can still commit')
    compare(bench, read(isolated(bench, 'read_committed'), 20), some(20, start=100), offsets=False)


@case('transaction: offsets', ['send_offsets'])
def transaction_offsets(bench):
    bench.create()
    bench.producer().send(bench.topic, some(40))
    member = bench.consumer(group_id=bench.name)
    member.subscribe(bench.topic)
    read(member, 40)
    producer = bench.producer(transactional_id=bench.name)
    for offset, end, committed in ((10, producer.abort, None), (40, producer.commit, 40), (20, producer.abort, 40)):
        producer.begin()
        producer.send(bench.topic, some(5, 1))
        producer.send_offsets(bench.topic, {0: offset}, member)
        end()
        until(lambda: member.committed(bench.topic, 0) == committed, f'{committed} is committed', 10)
    compare(bench, read(bench.at_start([1], isolation_level='read_committed'), 5), some(5, 1), offsets=False)


@case('the flights in and out', seconds=240)
def flights(bench):
    bench.create()
    with open(bench.flights, newline='') as file:
        header = next(csv.reader([file.readline()]))
        column = header.index('carrier')
        records = [Record(line.split(',')[column].encode(), line.rstrip('\n').encode()) for line in file]
    bench.producer(compression_type='lz4').send(bench.topic, records)
    got = read(bench.at_start([0, 1, 2, 3]), len(records), seconds=150)
    equal(len(got), len(records), 'flights')
    got.sort(key=lambda record: (record.partition, record.offset))
    equal(digest(got), digest(records), 'SHA-256 of the flights, in order within each carrier')


def digest(records):
    by_key = {}
    for record in records:
        by_key.setdefault(record.key, hashlib.sha256()).update(record.value + b'\n')
    return hashlib.sha256(b''.join(key + found.digest() for key, found in sorted(by_key.items()))).hexdigest()
