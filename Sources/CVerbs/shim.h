// libibverbs and librdmacm for Swift. Static inlines only, no logic; each says why it is here.
#pragma once

// See CLinux: libc belongs to Swift's Glibc module.
#pragma clang module import SwiftGlibc

#include <arpa/inet.h>
#include <errno.h>
#include <infiniband/verbs.h>
#include <netdb.h>
#include <poll.h>
#include <rdma/rdma_cma.h>
#include <string.h>

// ibv_query_port, ibv_reg_mr and ibv_get_device_list are macros over versioned symbols. Swift would bind the frozen
// old symbols instead (a shorter ibv_port_attr; access flags that are passed on unchecked).
static inline int cverbs_query_port(struct ibv_context *context, uint8_t port, struct ibv_port_attr *attributes) {
  return ibv_query_port(context, port, attributes);
}
static inline struct ibv_mr *cverbs_reg_mr(struct ibv_pd *pd, void *address, size_t length, int access) {
  return ibv_reg_mr(pd, address, length, access);
}
static inline struct ibv_device **cverbs_get_device_list(int *count) { return ibv_get_device_list(count); }

// An inline that writes through a struct with a flexible tail; kept in C so that the types stay private.
static inline int cverbs_query_gid_entry(
    struct ibv_context *context, uint32_t port, uint32_t index, struct ibv_gid_entry *entry) {
  return ibv_query_gid_ex(context, port, index, entry, 0);
}

// Anonymous unions of the work request, set in one place.
static inline void cverbs_set_remote(struct ibv_send_wr *wr, uint64_t address, uint32_t key) {
  wr->wr.rdma.remote_addr = address;
  wr->wr.rdma.rkey = key;
}
static inline void cverbs_set_atomic(
    struct ibv_send_wr *wr, uint64_t address, uint32_t key, uint64_t compare_add, uint64_t swap) {
  wr->wr.atomic.remote_addr = address;
  wr->wr.atomic.rkey = key;
  wr->wr.atomic.compare_add = compare_add;
  wr->wr.atomic.swap = swap;
}
// Immediate values are big-endian on the wire.
static inline void cverbs_set_immediate(struct ibv_send_wr *wr, uint32_t value) { wr->imm_data = htonl(value); }
static inline uint32_t cverbs_immediate(const struct ibv_wc *wc) { return ntohl(wc->imm_data); }

// rdma_cm_event's parameters are a union.
static inline const void *cverbs_private_data(const struct rdma_cm_event *event, uint8_t *count) {
  *count = event->param.conn.private_data_len;
  return event->param.conn.private_data;
}

// The accessors are inlines that return a pointer into the id's address union.
static inline struct sockaddr *cverbs_peer_address(struct rdma_cm_id *id) { return rdma_get_peer_addr(id); }
static inline uint16_t cverbs_local_port(struct rdma_cm_id *id) { return ntohs(rdma_get_src_port(id)); }

// IBV_QP_* flags for one attribute change: enums with mixed signs.
static inline int cverbs_set_rnr_timer(struct ibv_qp *qp, uint8_t code) {
  struct ibv_qp_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.qp_state = IBV_QPS_RTS;
  attributes.min_rnr_timer = code;
  return ibv_modify_qp(qp, &attributes, IBV_QP_STATE | IBV_QP_MIN_RNR_TIMER);
}
static inline int cverbs_to_error(struct ibv_qp *qp) {
  struct ibv_qp_attr attributes;
  memset(&attributes, 0, sizeof attributes);
  attributes.qp_state = IBV_QPS_ERR;
  return ibv_modify_qp(qp, &attributes, IBV_QP_STATE);
}
