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
static inline struct ibv_mr *cverbs_reg_mr_iova(
    struct ibv_pd *pd, void *address, size_t length, uint64_t iova, unsigned access) {
  return ibv_reg_mr_iova2(pd, address, length, iova, access);
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
static inline void cverbs_set_bind(
    struct ibv_send_wr *wr, struct ibv_mw *window, uint32_t key, struct ibv_mr *region, uint64_t address,
    uint64_t length, unsigned access) {
  wr->bind_mw.mw = window;
  wr->bind_mw.rkey = key;
  wr->bind_mw.bind_info.mr = region;
  wr->bind_mw.bind_info.addr = address;
  wr->bind_mw.bind_info.length = length;
  wr->bind_mw.bind_info.mw_access_flags = access;
}
static inline void cverbs_set_invalidate(struct ibv_send_wr *wr, uint32_t key) { wr->invalidate_rkey = key; }
static inline void cverbs_set_datagram(
    struct ibv_send_wr *wr, struct ibv_ah *handle, uint32_t queue_pair, uint32_t queue_key) {
  wr->wr.ud.ah = handle;
  wr->wr.ud.remote_qpn = queue_pair;
  wr->wr.ud.remote_qkey = queue_key;
}
static inline void cverbs_set_xrc(struct ibv_send_wr *wr, uint32_t shared_receive_queue) {
  wr->qp_type.xrc.remote_srqn = shared_receive_queue;
}
// Immediate values are big-endian on the wire.
static inline void cverbs_set_immediate(struct ibv_send_wr *wr, uint32_t value) { wr->imm_data = htonl(value); }
static inline uint32_t cverbs_immediate(const struct ibv_wc *wc) { return ntohl(wc->imm_data); }
static inline uint32_t cverbs_invalidated(const struct ibv_wc *wc) { return wc->invalidated_rkey; }

// What an asynchronous event is about is a union of pointers; a number says as much, and cannot dangle.
static inline uint32_t cverbs_event_element(const struct ibv_async_event *event) {
  switch (event->event_type) {
    case IBV_EVENT_QP_FATAL:
    case IBV_EVENT_QP_REQ_ERR:
    case IBV_EVENT_QP_ACCESS_ERR:
    case IBV_EVENT_COMM_EST:
    case IBV_EVENT_SQ_DRAINED:
    case IBV_EVENT_PATH_MIG:
    case IBV_EVENT_PATH_MIG_ERR:
    case IBV_EVENT_QP_LAST_WQE_REACHED:
      return event->element.qp->qp_num;
    case IBV_EVENT_PORT_ACTIVE:
    case IBV_EVENT_PORT_ERR:
    case IBV_EVENT_LID_CHANGE:
    case IBV_EVENT_PKEY_CHANGE:
    case IBV_EVENT_SM_CHANGE:
    case IBV_EVENT_CLIENT_REREGISTER:
    case IBV_EVENT_GID_CHANGE:
      return (uint32_t)event->element.port_num;
    case IBV_EVENT_CQ_ERR:
      return event->element.cq->handle;
    case IBV_EVENT_SRQ_ERR:
    case IBV_EVENT_SRQ_LIMIT_REACHED:
      return event->element.srq->handle;
    default:
      return 0;
  }
}

// ibv_query_device_ex's size argument is filled in by an inline.
static inline int cverbs_query_device(struct ibv_context *context, struct ibv_device_attr_ex *attributes) {
  return ibv_query_device_ex(context, NULL, attributes);
}

// The union of a GID, by bytes.
static inline void cverbs_set_gid(union ibv_gid *gid, const uint8_t *bytes) { memcpy(gid->raw, bytes, 16); }

// rdma_cm_event's parameters are a union.
static inline const void *cverbs_private_data(const struct rdma_cm_event *event, uint8_t *count) {
  *count = event->param.conn.private_data_len;
  return event->param.conn.private_data;
}

// Of the same union, for datagrams.
static inline const struct rdma_ud_param *cverbs_datagram_parameters(const struct rdma_cm_event *event) {
  return &event->param.ud;
}

// The accessors are inlines that return a pointer into the id's address union.
static inline struct sockaddr *cverbs_peer_address(struct rdma_cm_id *id) { return rdma_get_peer_addr(id); }
static inline uint16_t cverbs_local_port(struct rdma_cm_id *id) { return ntohs(rdma_get_src_port(id)); }
