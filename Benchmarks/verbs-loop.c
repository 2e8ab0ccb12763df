// The anchor of the transport figures: perftest's loops over plain verbs, in as little C as they take.
//
//   verbs-loop send-bw|write-bw|read-bw|send-lat [-s BYTES] [-n MESSAGES] [-t DEPTH] [-r RECEIVES] [-Q PER-COMPLETION]
//              [-l PER-DOORBELL] [-I INLINE] [-e] [-p PORT] [-a ADDRESS] [-S | -C]
//   verbs-loop read-log -f FILE ...      a log's least work (the anchor of broker.produce-rxe): READs from the other
//              process into DEPTH places, CRC-32C over each, one pwrite for those that came together
//   verbs-loop produce-log -f FILE ...   a broker's least work: as read-log, but the other process builds what is read,
//              1 KiB at a time, sums it, and announces PER-DOORBELL places at once; it is told what was written
//
// Forks its own server; with -S it is the server, with -C the client, so that one side can be looked at. Prints messages
// per second, of send-lat microseconds of half a round trip (median). As the bench does, the receiver says after every
// quarter of its depth how much it took, and who finds nothing on the only processor gives way.
// Build: cc -O2 -o verbs-loop verbs-loop.c -libverbs -lrdmacm
#include "../Sources/CLinux/crc32c.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <rdma/rdma_cma.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BATCH = 32, COUNTS = 16 };
static const uint64_t RECEIVE = 1ull << 32;
struct remote { uint64_t address; uint32_t key; };

static int size = 65536, messages = 1000, depth = 128, receives = 512, moderation = 100, list = 1, inline_max = 0;
static int events = 0, port = 18700, alone, is_server, latency, builds, file = -1;
static size_t span;     // of memory, in bytes
static const char *address = "10.9.0.1";
static enum ibv_wr_opcode operation;
static struct rdma_cm_id *id;
static struct ibv_comp_channel *channel;
static struct ibv_cq *cq;
static struct ibv_mr *mr;
static struct remote peer;
static char *memory;
static long sent, arrived;
static uint32_t taken;

static void fail(const char *what) { perror(what); exit(1); }
static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e9 + t.tv_nsec;
}

static void take(const struct ibv_wc *wc, int count) {
  for (int i = 0; i < count; i++) {
    if (wc[i].status != IBV_WC_SUCCESS) { fprintf(stderr, "%s\n", ibv_wc_status_str(wc[i].status)); exit(1); }
    if (wc[i].wr_id < RECEIVE) sent += wc[i].wr_id;
    else {
      arrived++;
      if (wc[i].wc_flags & IBV_WC_WITH_IMM) taken = ntohl(wc[i].imm_data);
    }
  }
}

static void reap(void) {
  static struct ibv_wc wc[BATCH];
  static unsigned seen;
  int count = ibv_poll_cq(cq, BATCH, wc);
  if (count == 0 && events) {
    if (ibv_req_notify_cq(cq, 0)) fail("ibv_req_notify_cq");
    count = ibv_poll_cq(cq, BATCH, wc);
    if (count == 0) {
      struct ibv_cq *queue; void *context;
      if (ibv_get_cq_event(channel, &queue, &context)) fail("ibv_get_cq_event");
      if (++seen == 64) { ibv_ack_cq_events(cq, seen); seen = 0; }
    }
  } else if (count == 0 && alone) sched_yield();
  if (count < 0) fail("ibv_poll_cq");
  take(wc, count);
}

static void post_receives(int count, int into_memory) {
  struct ibv_sge sge = {(uint64_t)(memory + size), size, mr->lkey};
  struct ibv_recv_wr wr[count], *bad;
  for (int i = 0; i < count; i++)
    wr[i] = (struct ibv_recv_wr){RECEIVE, i + 1 < count ? &wr[i + 1] : NULL, into_memory ? &sge : NULL, into_memory};
  if (count && ibv_post_recv(id->qp, wr, &bad)) fail("ibv_post_recv");
}

static struct ibv_send_wr *make_list(int count, int stands_for) {
  struct ibv_send_wr *wr = calloc(count, sizeof *wr);
  struct ibv_sge *sge = malloc(sizeof *sge);
  *sge = (struct ibv_sge){(uint64_t)memory, size, mr->lkey};
  for (int i = 0; i < count; i++) {
    wr[i].next = i + 1 < count ? &wr[i + 1] : NULL;
    wr[i].sg_list = sge;
    wr[i].num_sge = 1;
    wr[i].opcode = operation;
    wr[i].send_flags = size <= inline_max && operation != IBV_WR_RDMA_READ ? IBV_SEND_INLINE : 0;
    wr[i].wr.rdma.remote_addr = peer.address + (operation == IBV_WR_RDMA_WRITE ? size : 0);
    wr[i].wr.rdma.rkey = peer.key;
  }
  if (stands_for) {
    wr[count - 1].wr_id = stands_for;
    wr[count - 1].send_flags |= IBV_SEND_SIGNALED;
  }
  return wr;
}

static void post(struct ibv_send_wr *wr) {
  struct ibv_send_wr *bad;
  if (ibv_post_send(id->qp, wr, &bad)) fail("ibv_post_send");
}

static void run_bandwidth(void) {
  int lists = (moderation < depth ? moderation : depth) / list;
  int per_signal = (lists ? lists : 1) * list, rest;
  messages = (messages + list - 1) / list * list;
  rest = messages % per_signal;
  struct ibv_send_wr *plain = make_list(list, 0), *signaled = make_list(list, per_signal);
  struct ibv_send_wr *last = make_list(list, rest ? rest : per_signal);
  long posted = 0;
  double start = now();
  while (sent < messages) {
    while (posted < messages && posted - sent <= depth - list) {
      if (operation == IBV_WR_SEND && (uint32_t)posted - taken > (uint32_t)(receives - list)) break;
      posted += list;
      post(posted == messages ? last : posted % per_signal ? plain : signaled);
    }
    reap();
    if (arrived) { post_receives(arrived, 0); arrived = 0; }
  }
  printf("%.1f\n", messages / (now() - start) * 1e9);
}

// As fast as the machine can: the daemon's own instructions. Where it cannot fold, three streams beside each other, not
// joined, which spares the anchor some work.
static uint32_t checksum(const char *bytes) {
  const unsigned char *p = (const unsigned char *)bytes;
  if (size >= 256 && clinux_has_crc32c_fold()) return clinux_crc32c_fold(~0u, p, size);
  if (!clinux_has_crc32c()) { fprintf(stderr, "no CRC-32C here\n"); exit(2); }
  uint64_t a = ~0u, b = 0, c = 0;
  clinux_crc32c_three(p, size / 24 * 8, &a, &b, &c);
  return a ^ b ^ c;
}

// Says a number, which arrives in `taken`, in as little as there is: an immediate without bytes.
static void tell(uint32_t number) {
  static unsigned told;
  struct ibv_send_wr wr = {.opcode = IBV_WR_RDMA_WRITE_WITH_IMM, .imm_data = htonl(number)};
  wr.send_flags = ++told % 8 ? 0 : IBV_SEND_SIGNALED;
  wr.wr.rdma.remote_addr = peer.address;
  wr.wr.rdma.rkey = peer.key;
  post(&wr);
}
static void take_numbers(void) {
  reap();
  if (arrived) { post_receives(arrived, 0); arrived = 0; }
}

static void build_batches(void) {
  static char record[1024];
  long built = 0, announced = 0;
  while (built < messages) {
    if (built - taken == depth) while (built - taken > depth / 2) take_numbers();
    char *place = memory + (size_t)(built % depth) * size;
    // With some bytes before each for the record's header.
    for (int at = 61; at + 8 + 1024 <= size; at += 8 + 1024) memcpy(place + at + 8, record, 1024);
    record[built % 1024] = (char)checksum(place);
    if (++built - announced == list || built == messages || built - taken == depth) tell(announced = built);
  }
}

static void run_log(void) {
  struct ibv_send_wr *all = calloc(depth, sizeof *all);
  struct ibv_sge *places = calloc(depth, sizeof *places);
  long posted = 0, written = 0;
  uint32_t sums = 0;
  for (int i = 0; i < depth; i++) {
    places[i] = (struct ibv_sge){(uint64_t)(memory + (size_t)i * size), size, mr->lkey};
    all[i] = (struct ibv_send_wr){1, NULL, &places[i], 1, IBV_WR_RDMA_READ, IBV_SEND_SIGNALED};
    all[i].wr.rdma.remote_addr = peer.address + (size_t)i * size;
    all[i].wr.rdma.rkey = peer.key;
  }
  double start = now();
  while (written < messages) {
    long ready = builds ? taken : messages;
    for (; posted < ready && posted - written < depth; posted++) post(&all[posted % depth]);
    take_numbers();
    if (written == sent) continue;
    while (written < sent) {
      int first = written % depth, count = sent - written < depth - first ? sent - written : depth - first;
      for (int i = 0; i < count; i++) sums ^= checksum(memory + (size_t)(first + i) * size);
      ssize_t bytes = (ssize_t)count * size;
      if (pwrite(file, memory + (size_t)first * size, bytes, written * size) != bytes) fail("pwrite");
      written += count;
    }
    if (builds) tell(written);
  }
  printf("%.1f\n", messages / (now() - start) * 1e9);
  fprintf(stderr, "%x\n", sums);
}

static void take_messages(void) {
  long done = 0, announced = 0, owed = 0, step = receives / 4 > 0 ? receives / 4 : 1;
  messages = (messages + list - 1) / list * list;
  while (done < messages) {
    reap();
    done += arrived;
    owed += arrived;
    arrived = 0;
    if (owed >= step) { post_receives(owed, 1); owed = 0; }
    if (done - owed - announced < step) continue;
    announced = done - owed;
    struct ibv_send_wr wr = {.wr_id = 1, .opcode = IBV_WR_RDMA_WRITE_WITH_IMM, .send_flags = IBV_SEND_SIGNALED};
    wr.imm_data = htonl(announced);
    wr.wr.rdma.remote_addr = peer.address;
    wr.wr.rdma.rkey = peer.key;
    post(&wr);
  }
}

static int by_value(const void *a, const void *b) { return *(double *)a < *(double *)b ? -1 : *(double *)a > *(double *)b; }
static void exchange(void) {
  int every = depth / 2 < 64 ? depth / 2 : 64;
  struct ibv_send_wr *plain = make_list(1, 0), *signaled = make_list(1, every);
  double *times = malloc(sizeof *times * messages), last = now();
  for (int i = 1; i <= messages; i++) {
    if (!is_server) post(i % every ? plain : signaled);
    while (!arrived) reap();
    arrived--;
    post_receives(1, 1);
    if (is_server) post(i % every ? plain : signaled);
    double time = now();
    times[i - 1] = (time - last) / 2e3;
    last = time;
  }
  qsort(times, messages, sizeof *times, by_value);
  if (!is_server) printf("%.3f\n", times[messages / 2]);
}

static struct rdma_cm_event *expect(struct rdma_event_channel *from, enum rdma_cm_event_type kind) {
  struct rdma_cm_event *event;
  do {
    if (rdma_get_cm_event(from, &event)) fail("rdma_get_cm_event");
    if (event->event == kind) return event;
    fprintf(stderr, "%s instead of %s\n", rdma_event_str(event->event), rdma_event_str(kind));
    exit(1);
  } while (1);
}

static void set_up(void) {
  struct ibv_pd *pd = ibv_alloc_pd(id->verbs);
  if (!(channel = ibv_create_comp_channel(id->verbs))) fail("ibv_create_comp_channel");
  if (!(cq = ibv_create_cq(id->verbs, depth + receives + 64, NULL, channel, 0))) fail("ibv_create_cq");
  span = (size_t)size * (file >= 0 ? depth : 2);
  memory = mmap(NULL, span, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  mr = ibv_reg_mr(pd, memory, span, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ);
  if (!mr) fail("ibv_reg_mr");
  struct ibv_qp_init_attr attributes = {.send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC};
  attributes.cap = (struct ibv_qp_cap){depth + COUNTS, receives, 1, 1, inline_max};
  if (rdma_create_qp(id, pd, &attributes)) fail("rdma_create_qp");
  if (operation == IBV_WR_SEND) post_receives(is_server || latency ? receives : COUNTS, is_server || latency);
  if (builds) post_receives(receives, 0);
}

static void run(int ready) {
  struct rdma_event_channel *from = rdma_create_event_channel();
  struct sockaddr_in name = {.sin_family = AF_INET, .sin_port = htons(port)};
  struct rdma_cm_event *event;
  inet_pton(AF_INET, address, &name.sin_addr);
  if (!from || rdma_create_id(from, &id, NULL, RDMA_PS_TCP)) fail("rdma_create_id");
  struct rdma_conn_param parameters = {.responder_resources = 16, .initiator_depth = 16, .retry_count = 7};
  parameters.rnr_retry_count = 6;
  struct remote mine;
  parameters.private_data = &mine;
  parameters.private_data_len = sizeof mine;
  if (is_server) {
    struct rdma_cm_id *listener = id;
    int one = 1;
    rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_REUSEADDR, &one, sizeof one);
    if (rdma_bind_addr(listener, (struct sockaddr *)&name) || rdma_listen(listener, 1)) fail("rdma_listen");
    if (write(ready, "", 1) != 1) fail("write");
    event = expect(from, RDMA_CM_EVENT_CONNECT_REQUEST);
    id = event->id;
  } else {
    if (rdma_resolve_addr(id, NULL, (struct sockaddr *)&name, 5000)) fail("rdma_resolve_addr");
    rdma_ack_cm_event(expect(from, RDMA_CM_EVENT_ADDR_RESOLVED));
    if (rdma_resolve_route(id, 5000)) fail("rdma_resolve_route");
    rdma_ack_cm_event(expect(from, RDMA_CM_EVENT_ROUTE_RESOLVED));
    set_up();
    mine = (struct remote){(uint64_t)memory, mr->rkey};
    if (rdma_connect(id, &parameters)) fail("rdma_connect");
    event = expect(from, RDMA_CM_EVENT_ESTABLISHED);
  }
  memcpy(&peer, event->param.conn.private_data, sizeof peer);
  rdma_ack_cm_event(event);
  if (is_server) {
    set_up();
    mine = (struct remote){(uint64_t)memory, mr->rkey};
    if (rdma_accept(id, &parameters)) fail("rdma_accept");
    rdma_ack_cm_event(expect(from, RDMA_CM_EVENT_ESTABLISHED));
  }
  if (latency) exchange();
  else if (!is_server && file >= 0) run_log();
  else if (builds) build_batches();
  else if (!is_server) run_bandwidth();
  else if (operation == IBV_WR_SEND) take_messages();
  if (!is_server) rdma_disconnect(id);
  rdma_ack_cm_event(expect(from, RDMA_CM_EVENT_DISCONNECTED));
}

int main(int count, char **words) {
  if (count < 2) return fprintf(stderr, "usage: verbs-loop send-bw|write-bw|read-bw|read-log|produce-log|send-lat [OPTION...]\n"), 2;
  alone = sysconf(_SC_NPROCESSORS_ONLN) == 1;
  latency = !strcmp(words[1], "send-lat");
  builds = !strcmp(words[1], "produce-log");
  operation = words[1][0] == 's' ? IBV_WR_SEND : words[1][0] == 'w' ? IBV_WR_RDMA_WRITE : IBV_WR_RDMA_READ;
  int option, ends[2], role = 0;
  optind = 2;
  while ((option = getopt(count, words, "s:n:t:r:Q:l:I:p:a:f:eSC")) > 0) switch (option) {
    case 's': size = atoi(optarg); break;
    case 'n': messages = atoi(optarg); break;
    case 't': depth = atoi(optarg); break;
    case 'r': receives = atoi(optarg); break;
    case 'Q': moderation = atoi(optarg); break;
    case 'l': list = atoi(optarg); break;
    case 'I': inline_max = atoi(optarg); break;
    case 'p': port = atoi(optarg); break;
    case 'a': address = optarg; break;
    case 'e': events = 1; break;
    case 'f': if ((file = open(optarg, O_RDWR | O_CREAT, 0600)) < 0) fail(optarg); break;
    case 'S': case 'C': role = option; break;
    default: return 2;
  }
  if (role) { is_server = role == 'S'; run(1); return 0; }
  char byte;
  if (pipe(ends)) fail("pipe");
  pid_t server = fork();
  if (server == 0) { is_server = 1; run(ends[1]); return 0; }
  close(ends[1]);
  if (read(ends[0], &byte, 1) != 1) return 1;
  run(0);
  waitpid(server, NULL, 0);
  return 0;
}
