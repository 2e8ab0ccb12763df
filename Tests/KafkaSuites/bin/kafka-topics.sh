#!/usr/bin/env python3
"""Creates and deletes topics for librdkafka's tests, with the arguments of Kafka's own program: any server, by Kafka's
protocol. confluent-kafka must be importable."""
import argparse
import sys

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

arguments = argparse.ArgumentParser()
arguments.add_argument('--bootstrap-server', required=True)
action = arguments.add_mutually_exclusive_group(required=True)
action.add_argument('--create', action='store_true')
action.add_argument('--delete', action='store_true')
arguments.add_argument('--topic', required=True)
arguments.add_argument('--partitions', type=int, default=-1)
arguments.add_argument('--replication-factor', type=int, default=-1)
arguments.add_argument('--config', action='append', default=[], type=lambda text: text.split('=', 1))
given = arguments.parse_args()

admin = AdminClient({'bootstrap.servers': given.bootstrap_server, 'log_level': 0})
if given.create:
    topic = NewTopic(given.topic, given.partitions, given.replication_factor, config=dict(given.config))
    answers = admin.create_topics([topic], operation_timeout=10)
else:
    answers = admin.delete_topics([given.topic], operation_timeout=10)
try:
    answers[given.topic].result(20)
except KafkaException as error:
    sys.exit(f'kafka-topics.sh: {given.topic}: {error.args[0].str()}')
