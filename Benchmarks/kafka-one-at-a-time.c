// Microseconds until one record is acknowledged, one after another: p50 and p99. The client is librdkafka.
//   kafka-one-at-a-time produce HOST:PORT TOPIC COUNT BYTES     acks=all, linger.ms=0
//   kafka-one-at-a-time append FILE COUNT BYTES                 the anchor: pwrite at the end of a file, and fdatasync
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "rdkafka.h"

static void fail(const char *what) {
    fprintf(stderr, "kafka-one-at-a-time: %s\n", what);
    exit(2);
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void report(double *times, int count) {
    int warm = count / 10;                      // connecting, and the first touches of everything, are no part of it
    times += warm;
    count -= warm;
    qsort(times, count, sizeof *times, ascending);
    printf("%.1f %.1f\n", times[count / 2], times[count * 99 / 100]);
}

static int acknowledged;

static void delivered(rd_kafka_t *client, const rd_kafka_message_t *message, void *opaque) {
    (void)client;
    (void)opaque;
    if (message->err) fail(rd_kafka_err2str(message->err));
    acknowledged++;
}

static void produce(const char *bootstrap, const char *topic, int count, char *record, size_t bytes, double *times) {
    char why[512];
    const char *settings[][2] = {{"bootstrap.servers", bootstrap}, {"acks", "all"}, {"linger.ms", "0"},
                                 {"message.timeout.ms", "10000"}, {"socket.nagle.disable", "true"}};
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (rd_kafka_conf_set(conf, settings[i][0], settings[i][1], why, sizeof why) != RD_KAFKA_CONF_OK) fail(why);
    rd_kafka_conf_set_dr_msg_cb(conf, delivered);
    rd_kafka_t *client = rd_kafka_new(RD_KAFKA_PRODUCER, conf, why, sizeof why);
    if (!client) fail(why);
    for (int i = 0; i < count; i++) {
        double begin = now_us();
        rd_kafka_resp_err_t error = rd_kafka_producev(
            client, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0), RD_KAFKA_V_VALUE(record, bytes), RD_KAFKA_V_END);
        if (error) fail(rd_kafka_err2str(error));
        while (acknowledged == i) rd_kafka_poll(client, 100);
        times[i] = now_us() - begin;
    }
    rd_kafka_destroy(client);
}

static void append(const char *path, int count, const char *record, size_t bytes, double *times) {
    int file = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    if (file < 0) fail("the file cannot be opened");
    for (int i = 0; i < count; i++) {
        double begin = now_us();
        if (pwrite(file, record, bytes, (off_t)i * bytes) != (ssize_t)bytes || fdatasync(file)) fail("the disk refuses");
        times[i] = now_us() - begin;
    }
    close(file);
    unlink(path);
}

int main(int argc, char **argv) {
    int is_produce = argc == 6 && !strcmp(argv[1], "produce");
    if (!is_produce && !(argc == 5 && !strcmp(argv[1], "append"))) fail("see the head of its source for its arguments");
    int count = atoi(argv[argc - 2]);
    size_t bytes = strtoul(argv[argc - 1], NULL, 10);
    if (count < 100 || bytes < 1) fail("at least 100 records of a byte");
    double *times = calloc(count, sizeof *times);
    char *record = malloc(bytes);
    if (!times || !record) fail("no memory");
    memset(record, 'x', bytes);
    if (is_produce) produce(argv[2], argv[3], count, record, bytes, times);
    else append(argv[2], count, record, bytes, times);
    report(times, count);
}
