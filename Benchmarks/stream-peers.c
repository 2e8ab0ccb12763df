// The peers of the broker's figures: Redis Streams and NATS JetStream, by their own protocols over a socket, without a
// client library in between, as much in one write and one read as there is.
//
//   stream-peers SERVER create  ADDRESS STREAM [MODE]       | delete ADDRESS STREAM
//   stream-peers SERVER produce ADDRESS STREAM RECORDS BYTES WINDOW [MODE [CONNECTIONS]]
//              prints when it began and when all was acknowledged, in nanoseconds of the monotonic clock
//   stream-peers SERVER paced   ADDRESS STREAM RECORDS BYTES RATE    a record each 1/RATE s, stamped when it is sent
//   stream-peers SERVER consume ADDRESS STREAM RECORDS BYTES [AT-ONCE]
//              prints `ready`, then when the first and the last record had come
//   stream-peers SERVER listen  ADDRESS STREAM RECORDS BYTES         the same for paced: microseconds, p50 p99 p99.9 max
//
// SERVER is redis (ADDRESS a Unix socket or a port; XADD, XREAD) or nats (a port). MODE of nats: `async` publishes with a
// reply for each message, `fast` is fast-ingest batch publishing (2.14), `atomic` atomic batches of 1000 (2.12); `push`
// or `pull` consumers by AT-ONCE: 0 is push.
// Build: cc -O2 -o stream-peers stream-peers.c
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { IN = 16 << 20, OUT = 4 << 20, CONNECTIONS = 64, ATOMIC = 1000, FLOW = 500 };

// A connection; `parsed` of `filled` bytes are done with.
struct link {
  int fd;
  char *in, *out;
  size_t parsed, filled, sent, queued;
  long posted, acked;   // records
  long number;          // of the connection
  int is_answered;
};

static int is_nats, bytes, window, link_count = 1;
static long records;
static const char *address, *stream, *mode = "async";
static struct link links[CONNECTIONS];
static char *payload;

static void fail(const char *what) { perror(what); exit(1); }
static void refuse(const char *what, const char *said) { fprintf(stderr, "%s: %.200s\n", what, said); exit(1); }
static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1000000000ull + t.tv_nsec;
}

static void dial(struct link *l) {
  if (address[0] == '/') {
    struct sockaddr_un name = {.sun_family = AF_UNIX};
    strncpy(name.sun_path, address, sizeof name.sun_path - 1);
    l->fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(l->fd, (struct sockaddr *)&name, sizeof name)) fail(address);
  } else {
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(atoi(address))};
    int one = 1;
    name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    l->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(l->fd, (struct sockaddr *)&name, sizeof name)) fail(address);
    setsockopt(l->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  }
  int room = 4 << 20;
  setsockopt(l->fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
  setsockopt(l->fd, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
  l->in = malloc(IN + 1);
  l->out = malloc(OUT);
  l->number = l - links;
}

// Sends what is queued as far as the socket takes it.
static void flush_some(struct link *l) {
  while (l->sent < l->queued) {
    ssize_t n = send(l->fd, l->out + l->sent, l->queued - l->sent, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0 && errno == EAGAIN) break;
    if (n < 0) fail("send");
    l->sent += n;
  }
  if (l->sent == l->queued) l->sent = l->queued = 0;
}
static void flush_all(struct link *l) {
  for (flush_some(l); l->queued; flush_some(l)) poll(&(struct pollfd){l->fd, POLLOUT, 0}, 1, -1);
}
static void queue(struct link *l, const void *from, size_t count) {
  memcpy(l->out + l->queued, from, count);
  l->queued += count;
}
static void say(struct link *l, const char *text) { queue(l, text, strlen(text)); }

// Makes room; whoever holds an offset of `in` has to be done with it.
static void compact(struct link *l) {
  if (l->parsed < IN / 2 && l->parsed < l->filled) return;
  memmove(l->in, l->in + l->parsed, l->filled - l->parsed);
  l->filled -= l->parsed;
  l->parsed = 0;
}
// Reads what there is, or waits for something.
static void receive(struct link *l, int waits) {
  ssize_t n = recv(l->fd, l->in + l->filled, IN - l->filled, waits ? 0 : MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (n <= 0) refuse("the server", "hung up");
  l->filled += n;
  l->in[l->filled] = 0;
}
// The next line, or NULL when it has not all come; `after` is what follows it.
static char *line(struct link *l, size_t from, size_t *after) {
  char *end = memchr(l->in + from, '\n', l->filled - from);
  if (!end) return NULL;
  *after = end + 1 - l->in;
  return l->in + from;
}

// MARK: NATS

// One message: its header line in `head`, its payload at *at. 0 when it has not all come.
static int nats_next(struct link *l, char **head, char **at, int *count) {
  for (;;) {
    size_t body;
    char *text = line(l, l->parsed, &body);
    if (!text) return 0;
    if (!strncmp(text, "MSG", 3) || !strncmp(text, "HMSG", 4)) {
      char *last = l->in + body - 2;
      while (last[-1] != ' ') last--;
      int size = atoi(last);
      if (l->filled < body + size + 2) return 0;
      *head = text;
      *at = l->in + body;
      *count = size;
      l->parsed = body + size + 2;
      return 1;
    }
    if (!strncmp(text, "-ERR", 4)) refuse("nats", text);
    if (!strncmp(text, "PING", 4)) { say(l, "PONG\r\n"); flush_all(l); }
    l->parsed = body;
  }
}
static void nats_open(struct link *l) {
  dial(l);
  say(l, "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true,\"lang\":\"c\"}\r\n");
  flush_all(l);
}
// Asks the server's interface and gives up when it refuses.
static void nats_ask(struct link *l, const char *subject, const char *body) {
  char text[4096], *head, *at;
  int count;
  snprintf(text, sizeof text, "SUB ask 9\r\nPUB %s ask %zu\r\n%s\r\n", subject, strlen(body), body);
  say(l, text);
  flush_all(l);
  while (!nats_next(l, &head, &at, &count)) receive(l, 1);
  if (memmem(at, count, "\"error\"", 7) || head[0] == 'H') refuse(subject, at);
  say(l, "UNSUB 9\r\n");
  flush_all(l);
}
static void nats_create(void) {
  char text[1024], subject[200];
  int is_atomic = !strcmp(mode, "atomic"), is_fast = !strcmp(mode, "fast");
  snprintf(text, sizeof text,
           "{\"name\":\"%s\",\"subjects\":[\"%s\"],\"storage\":\"file\",\"num_replicas\":1%s%s}", stream, stream,
           is_atomic ? ",\"allow_atomic\":true" : "", is_fast ? ",\"allow_batched\":true" : "");
  nats_open(links);
  snprintf(subject, sizeof subject, "$JS.API.STREAM.CREATE.%s", stream);
  nats_ask(links, subject, text);
}
// Queues one record; what it needs of headers and reply is by mode.
static void nats_queue(struct link *l) {
  char text[300];
  long number = l->posted++;
  int isLast = l->posted == records / link_count;
  if (!strcmp(mode, "fast")) {
    // inbox . flow . on a gap . number . 0 begin, 1 add, 2 last . $FI; the last of the inbox's words names the batch.
    snprintf(text, sizeof text, "PUB %s r%ld.b.%d.fail.%ld.%d.$FI %d\r\n", stream, l->number, FLOW, number + 1,
             number == 0 ? 0 : isLast ? 2 : 1, bytes);
    say(l, text);
  } else if (!strcmp(mode, "atomic")) {
    char header[200];
    long place = number % ATOMIC + 1;
    int commits = place == ATOMIC || isLast;
    int size = snprintf(header, sizeof header, "NATS/1.0\r\nNats-Batch-Id:%d-%ld-%ld\r\nNats-Batch-Sequence:%ld\r\n%s\r\n",
                        getpid(), l->number, number / ATOMIC, place, commits ? "Nats-Batch-Commit:1\r\n" : "");
    snprintf(text, sizeof text, "HPUB %s %s%d %d\r\n%s", stream, commits ? "r0 " : "", size, size + bytes, header);
    say(l, text);
  } else {
    snprintf(text, sizeof text, "PUB %s r0 %d\r\n", stream, bytes);
    say(l, text);
  }
  queue(l, payload, bytes);
  say(l, "\r\n");
}
static void nats_acknowledged(struct link *l) {
  char *head, *at;
  int count;
  while (nats_next(l, &head, &at, &count)) {
    l->is_answered = 1;
    if (head[0] == 'H' || memmem(at, count, "\"error\"", 7)) refuse("publish", count ? at : head);
    char *number = memmem(at, count, "\"seq\":", 6), *of_batch = memmem(at, count, "\"count\":", 8);
    if (!strcmp(mode, "fast")) {
      // A flow acknowledgement, or the batch's own, which counts.
      if (of_batch) l->acked = atol(of_batch + 8);
      else if (number && atol(number + 6) > l->acked) l->acked = atol(number + 6);
    } else if (of_batch) l->acked += atol(of_batch + 8);
    else if (number) l->acked++;
  }
}
static void nats_listen(int at_once) {
  struct link *l = links;
  char text[600], subject[200];
  nats_open(l);
  say(l, "SUB d 2\r\n");
  snprintf(subject, sizeof subject, "$JS.API.CONSUMER.CREATE.%s.c", stream);
  snprintf(text, sizeof text,
           "{\"stream_name\":\"%s\",\"config\":{\"name\":\"c\",%s\"ack_policy\":\"none\",\"deliver_policy\":\"all\","
           "\"replay_policy\":\"instant\"}}",
           stream, at_once ? "" : "\"deliver_subject\":\"d\",");
  nats_ask(l, subject, text);
}
static void nats_pull(struct link *l, int at_once) {
  char body[100], text[300];
  snprintf(body, sizeof body, "{\"batch\":%d,\"expires\":60000000000}", at_once);
  snprintf(text, sizeof text, "PUB $JS.API.CONSUMER.MSG.NEXT.%s.c d %zu\r\n%s\r\n", stream, strlen(body), body);
  say(l, text);
  flush_all(l);
}

// MARK: Redis

static void redis_open(struct link *l) { dial(l); }
static void redis_queue(struct link *l) {
  static char head[200];
  static int size;
  l->posted++;
  if (!size)
    size = snprintf(head, sizeof head, "*5\r\n$4\r\nXADD\r\n$%zu\r\n%s\r\n$1\r\n*\r\n$1\r\nv\r\n$%d\r\n", strlen(stream),
                    stream, bytes);
  queue(l, head, size);
  queue(l, payload, bytes);
  say(l, "\r\n");
}
// Each answer is the length of an id, and the id.
static void redis_acknowledged(struct link *l) {
  size_t after, next;
  for (char *text; (text = line(l, l->parsed, &after)); l->acked++, l->parsed = next) {
    if (text[0] != '$') refuse("XADD", text);
    if (!line(l, after, &next)) return;
  }
}
static void redis_read(struct link *l, const char *id, int at_once) {
  char text[300];
  snprintf(text, sizeof text,
           "*8\r\n$5\r\nXREAD\r\n$5\r\nCOUNT\r\n$%d\r\n%d\r\n$5\r\nBLOCK\r\n$1\r\n0\r\n$7\r\nSTREAMS\r\n$%zu\r\n%s\r\n"
           "$%zu\r\n%s\r\n", snprintf(NULL, 0, "%d", at_once), at_once, strlen(stream), stream, strlen(id), id);
  say(l, text);
  flush_all(l);
}
// What an answer holds is known from its first lines: moves `from` over one of them, which begins with `kind`.
static long expect(struct link *l, size_t *from, char kind) {
  char *text;
  size_t after;
  while (!(text = line(l, *from, &after))) receive(l, 1);
  if (text[0] != kind) refuse("XREAD", text);
  *from = after;
  return atol(text + 1);
}
static char *expect_bytes(struct link *l, size_t *from, long *count) {
  *count = expect(l, from, '$');
  while (l->filled < *from + *count + 2) receive(l, 1);
  *from += *count + 2;
  return l->in + *from - *count - 2;
}

// MARK: Roles

static void took(const char *stamp, uint64_t *latencies, long index) {
  uint64_t sent;
  memcpy(&sent, stamp, sizeof sent);
  if (latencies) latencies[index] = now() - sent;
}
static int by_value(const void *a, const void *b) { return *(uint64_t *)a < *(uint64_t *)b ? -1 : *(uint64_t *)a > *(uint64_t *)b; }

static void consume(int at_once, uint64_t *latencies) {
  struct link *l = links;
  uint64_t first = 0;
  long seen = 0;
  if (is_nats) {
    nats_listen(at_once);
    long asked = 0;
    puts("ready");
    fflush(stdout);
    while (seen < records) {
      char *head, *at;
      int count;
      // Two requests at once, so that the server always has one.
      for (; at_once && asked - seen <= at_once && asked < records; asked += at_once) nats_pull(l, at_once);
      if (!nats_next(l, &head, &at, &count)) {
        compact(l);
        receive(l, 1);
        continue;
      }
      if (head[0] == 'H') {
        // With headers, or a status.
        char *size = memrchr(head, ' ', at - head - 2);
        while (size[-1] != ' ') size--;
        if (at[8] == ' ') refuse("consume", at);
        at += atoi(size);
        count -= atoi(size);
      }
      if (count != bytes) refuse("consume", "another length");
      if (!seen) first = now();
      took(at, latencies, seen++);
    }
  } else {
    char id[64] = "0-0";
    redis_open(l);
    puts("ready");
    fflush(stdout);
    while (seen < records) {
      redis_read(l, id, at_once);
      compact(l);
      size_t from = l->parsed;
      long count, length;
      expect(l, &from, '*');
      expect(l, &from, '*');
      expect_bytes(l, &from, &length);
      count = expect(l, &from, '*');
      l->parsed = from;
      if (!seen) first = now();
      for (long i = 0; i < count; i++) {
        compact(l);
        from = l->parsed;
        expect(l, &from, '*');
        char *name = expect_bytes(l, &from, &length);
        memcpy(id, name, length);
        id[length] = 0;
        expect(l, &from, '*');
        expect_bytes(l, &from, &length);
        char *value = expect_bytes(l, &from, &length);
        if (length != bytes) refuse("XREAD", "another length");
        took(value, latencies, seen++);
        l->parsed = from;
      }
    }
  }
  if (!latencies) { printf("%lu %lu\n", first, now()); return; }
  qsort(latencies, records, sizeof *latencies, by_value);
  printf("%.1f %.1f %.1f %.1f\n", latencies[records / 2] / 1e3, latencies[records * 99 / 100] / 1e3,
         latencies[records * 999 / 1000] / 1e3, latencies[records - 1] / 1e3);
}

// What is not committed gets no answer.
static int in_batch(const struct link *l) { return is_nats && !strcmp(mode, "atomic") && l->posted % ATOMIC; }

static void produce(void) {
  struct pollfd waits[CONNECTIONS];
  long each = records / link_count, done = 0;
  for (int i = 0; i < link_count; i++) {
    if (!is_nats) { redis_open(&links[i]); continue; }
    nats_open(&links[i]);
    // Every connection its own replies.
    say(&links[i], !strcmp(mode, "fast") ? "" : "SUB r0 1\r\n");
    if (!strcmp(mode, "fast")) {
      char text[40];
      snprintf(text, sizeof text, "SUB r%d.> 1\r\n", i);
      say(&links[i], text);
    }
    flush_all(&links[i]);
  }
  records = each * link_count;
  uint64_t begin = now();
  while (done < records) {
    done = 0;
    for (int i = 0; i < link_count; i++) {
      struct link *l = &links[i];
      compact(l);
      receive(l, 0);
      if (is_nats) nats_acknowledged(l); else redis_acknowledged(l);
      // The first of a fast batch is answered before the next.
      long limit = is_nats && !strcmp(mode, "fast") && !l->is_answered ? 1 : window;
      if (!l->queued)
        while (l->posted < each && l->queued < OUT / 2 && (l->posted - l->acked < limit || in_batch(l))) {
          if (is_nats) nats_queue(l); else redis_queue(l);
        }
      flush_some(l);
      done += l->acked;
      waits[i] = (struct pollfd){l->fd, POLLIN | (l->queued ? POLLOUT : 0), 0};
    }
    if (done < records) poll(waits, link_count, -1);
  }
  printf("%lu %lu\n", begin, now());
}

static void paced(long rate) {
  struct link *l = links;
  struct timespec due;
  if (is_nats) { nats_open(l); say(l, "SUB r0 1\r\n"); flush_all(l); } else redis_open(l);
  mode = "async";
  clock_gettime(CLOCK_MONOTONIC, &due);
  for (long i = 0; i < records; i++) {
    due.tv_nsec += 1000000000 / rate;
    if (due.tv_nsec >= 1000000000) { due.tv_nsec -= 1000000000; due.tv_sec++; }
    clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL);
    uint64_t stamp = now();
    memcpy(payload, &stamp, sizeof stamp);
    if (is_nats) nats_queue(l); else redis_queue(l);
    flush_all(l);
    compact(l);
    receive(l, 0);
    if (is_nats) nats_acknowledged(l); else redis_acknowledged(l);
  }
  while (l->acked < records) {
    receive(l, 1);
    if (is_nats) nats_acknowledged(l); else redis_acknowledged(l);
  }
}

int main(int count, char **words) {
  if (count < 5) return fprintf(stderr, "usage: stream-peers redis|nats create|produce|paced|consume|listen ADDRESS STREAM ...\n"), 2;
  // The kernel may be 50 µs late otherwise.
  prctl(PR_SET_TIMERSLACK, 1);
  is_nats = !strcmp(words[1], "nats");
  const char *role = words[2];
  address = words[3];
  stream = words[4];
  if (!strcmp(role, "create")) {
    if (count > 5) mode = words[5];
    if (is_nats) nats_create();
    return 0;
  }
  if (!strcmp(role, "delete")) {
    char subject[200];
    snprintf(subject, sizeof subject, "$JS.API.STREAM.DELETE.%s", stream);
    nats_open(links);
    nats_ask(links, subject, "");
    return 0;
  }
  if (count < 7) return 2;
  records = atol(words[5]);
  bytes = atoi(words[6]);
  payload = malloc(bytes);
  memset(payload, 'x', bytes);
  long number = count > 7 ? atol(words[7]) : 0;
  if (!strcmp(role, "produce")) {
    window = number;
    if (count > 8) mode = words[8];
    if (count > 9) link_count = atoi(words[9]);
    produce();
  } else if (!strcmp(role, "paced")) paced(number);
  else consume(is_nats ? number : number ? number : 1000, strcmp(role, "listen") ? NULL : calloc(records, 8));
  return 0;
}
