// The least that any broker does for a record: three processes, two wake-ups, one append. A producer sends a record each
// 1/RATE s, a relay appends it to FILE and passes it on, a consumer reads the stamp; Unix sockets, everyone asleep in read.
// Usage: relay FILE RECORDS BYTES RATE      prints microseconds from sending to having read, p50 p99 p99.9 max
// Build: cc -O2 -o relay relay.c
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void fail(const char *what) { perror(what); exit(1); }
static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}
static int by_value(const void *a, const void *b) { return *(uint64_t *)a < *(uint64_t *)b ? -1 : *(uint64_t *)a > *(uint64_t *)b; }
static void write_all(int to, const void *from, size_t count) {
  if (write(to, from, count) != (ssize_t)count) fail("write");
}

static void produce(int to, char *record, long records, int bytes, long rate) {
  struct timespec due;
  // The kernel may be 50 µs late otherwise.
  prctl(PR_SET_TIMERSLACK, 1);
  clock_gettime(CLOCK_MONOTONIC, &due);
  for (long i = 0; i < records; i++) {
    due.tv_nsec += 1000000000 / rate;
    if (due.tv_nsec >= 1000000000) { due.tv_nsec -= 1000000000; due.tv_sec++; }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    uint64_t stamp = now();
    memcpy(record, &stamp, sizeof stamp);
    write_all(to, record, bytes);
  }
}
static void relay(int from, int to, int file, char *record, long records, int bytes) {
  for (long i = 0; i < records; i++) {
    if (recv(from, record, bytes, MSG_WAITALL) != bytes) fail("relay");
    write_all(file, record, bytes);
    write_all(to, record, bytes);
  }
}
static void consume(int from, char *record, long records, int bytes) {
  uint64_t *latencies = calloc(records, sizeof *latencies), sent;
  for (long i = 0; i < records; i++) {
    if (recv(from, record, bytes, MSG_WAITALL) != bytes) fail("consume");
    memcpy(&sent, record, sizeof sent);
    latencies[i] = now() - sent;
  }
  qsort(latencies, records, sizeof *latencies, by_value);
  for (int i = 0; i < 4; i++) {
    long at = records * (int[]){500, 990, 999, 1000}[i] / 1000;
    printf("%.1f%c", latencies[at < records ? at : records - 1] / 1e3, " \n"[i == 3]);
  }
}

int main(int count, char **words) {
  if (count < 5) return fprintf(stderr, "usage: relay FILE RECORDS BYTES RATE\n"), 2;
  int in[2], out[2], file = open(words[1], O_CREAT | O_TRUNC | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
  long records = atol(words[2]);
  int bytes = atoi(words[3]), status = 0, result = 0;
  long rate = atol(words[4]);
  if (records < 1 || bytes < 8 || rate < 1) return fprintf(stderr, "relay: RECORDS, RATE at least 1, BYTES at least 8\n"), 2;
  if (file < 0) fail(words[1]);
  if (socketpair(AF_UNIX, SOCK_STREAM, 0, in) || socketpair(AF_UNIX, SOCK_STREAM, 0, out)) fail("socketpair");
  char *record = malloc(bytes);
  memset(record, 'x', bytes);
  if (!fork()) { close(in[0]); close(out[0]); close(out[1]); produce(in[1], record, records, bytes, rate); _exit(0); }
  if (!fork()) { close(in[1]); close(out[0]); relay(in[0], out[1], file, record, records, bytes); _exit(0); }
  close(in[0]);
  close(in[1]);
  close(out[1]);
  consume(out[0], record, records, bytes);
  while (wait(&status) > 0) result |= status != 0;
  return result;
}
