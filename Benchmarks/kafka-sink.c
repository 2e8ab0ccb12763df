// The least that a Kafka server does with what is produced: takes the bytes off the socket, unread (MSG_TRUNC), and says
// that they were written. What else is asked goes to a server behind it, and its answers back.
// Usage: kafka-sink PORT SERVER-PORT      both on 127.0.0.1; SERVER has to advertise PORT. Prints `ready`.
// Build: cc -O2 -o kafka-sink kafka-sink.c -lpthread
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

// HEAD holds the beginning of any request that is looked into: up to the number of its first partition.
enum { PREFIX = 4, HEAD = 300, REST = 1 << 20 };
static int server_port;

static void fail(const char *what) { perror(what); exit(1); }
static void give_up(const char *why) { fprintf(stderr, "kafka-sink: %s\n", why); exit(1); }
static struct sockaddr_in local(int port) {
  return (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
}
static void undelayed(int fd) { setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); }
static uint32_t number32(const unsigned char *at) { return (uint32_t)at[0] << 24 | at[1] << 16 | at[2] << 8 | at[3]; }
static int number16(const unsigned char *at) { return (int16_t)(at[0] << 8 | at[1]); }

// Both end the thread when the peer has gone.
static void receive(int fd, void *to, size_t count, int flags) {
  for (size_t done = 0; done < count;) {
    ssize_t n = recv(fd, flags & MSG_TRUNC ? to : (char *)to + done, count - done, flags);
    if (n <= 0) pthread_exit(NULL);
    done += n;
  }
}
static void send_all(int fd, const void *from, size_t count) {
  for (size_t done = 0; done < count;) {
    ssize_t n = send(fd, (const char *)from + done, count - done, MSG_NOSIGNAL);
    if (n <= 0) pthread_exit(NULL);
    done += n;
  }
}

// The answer to a Produce request of one topic and partition, as librdkafka sends them, with acks; versions 3 to 11.
static size_t answer(const unsigned char *request, unsigned char *to) {
  int version = number16(request + 6), is_flexible = version >= 9, skipped = number16(request + 12);
  const unsigned char *from = request + 14 + (skipped > 0 ? skipped : 0);
  unsigned char *at = to + PREFIX;
  int length;
  if (version < 3 || version > 11) give_up("an unknown version of Produce");
  if (skipped > 100) give_up("a client id that is too long");
  // The transaction's id, acks and timeout, the number of topics, the name, the number of partitions.
  if (is_flexible) {
    from++;
    if (from[0]) give_up("a transaction");
    if (from[7] != 2) give_up("more than one topic");
    length = from[8] - 1, from += 9;
    if (from[length] != 2) give_up("more than one partition");
  } else {
    if (number16(from) >= 0) give_up("a transaction");
    if (number32(from + 8) != 1) give_up("more than one topic");
    length = number16(from + 12), from += 14;
    if (number32(from + length) != 1) give_up("more than one partition");
  }
  if (length < 1 || length > 100) give_up("a name that is too long");
  const unsigned char *partition = from + length + (is_flexible ? 1 : 4);
  memset(to, 0, HEAD);
  memcpy(at, request + 8, 4), at += 4;
  if (is_flexible) at++, *at++ = 2, *at++ = length + 1; else at[3] = 1, at[5] = length, at += 6;
  memcpy(at, from, length), at += length;
  if (is_flexible) *at++ = 2; else at[3] = 1, at += 4;
  memcpy(at, partition, 4), at += 4;
  // Error 0, offset 0, no time; the log's start, the records' errors, the message; tags; the throttle's time.
  at += 2 + 8 + 8 + (version >= 5 ? 8 : 0);
  if (is_flexible) *at = 1, at += 1 + 1 + 1 + 1 + 4 + 1;
  else if (version == 8) at[4] = at[5] = 0xff, at += 4 + 2 + 4;
  else at += 4;
  *(uint32_t *)to = htonl(at - to - PREFIX);
  return at - to;
}

struct ends { int client, server; };
static void *pass_back(void *argument) {
  struct ends ends = *(struct ends *)argument;
  char bytes[65536];
  for (ssize_t n; (n = recv(ends.server, bytes, sizeof bytes, 0)) > 0;) send_all(ends.client, bytes, n);
  return NULL;
}
static void *serve(void *argument) {
  struct ends ends = {(int)(intptr_t)argument, socket(AF_INET, SOCK_STREAM, 0)};
  struct sockaddr_in name = local(server_port);
  pthread_t thread;
  unsigned char head[PREFIX + HEAD], to[HEAD], *rest = malloc(REST);
  if (connect(ends.server, (struct sockaddr *)&name, sizeof name)) fail("connect");
  undelayed(ends.server);
  pthread_create(&thread, NULL, pass_back, &ends);
  for (;;) {
    receive(ends.client, head, PREFIX, 0);
    size_t count = number32(head), begun = count < HEAD ? count : HEAD;
    receive(ends.client, head + PREFIX, begun, 0);
    if (number16(head + PREFIX) == 0) {
      receive(ends.client, NULL, count - begun, MSG_TRUNC);
      send_all(ends.client, to, answer(head, to));
      continue;
    }
    if (count - begun > REST) give_up("a request that is too long");
    receive(ends.client, rest, count - begun, 0);
    send_all(ends.server, head, PREFIX + begun);
    send_all(ends.server, rest, count - begun);
  }
  return NULL;
}

int main(int count, char **words) {
  if (count != 3) return fprintf(stderr, "usage: kafka-sink PORT SERVER-PORT\n"), 2;
  struct sockaddr_in name = local(atoi(words[1]));
  int listener = socket(AF_INET, SOCK_STREAM, 0), client;
  server_port = atoi(words[2]);
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
  if (bind(listener, (struct sockaddr *)&name, sizeof name) || listen(listener, 64)) fail("bind");
  puts("ready");
  fflush(stdout);
  while ((client = accept(listener, NULL, NULL)) >= 0) {
    pthread_t thread;
    undelayed(client);
    pthread_create(&thread, NULL, serve, (void *)(intptr_t)client);
    pthread_detach(thread);
  }
  fail("accept");
}
