// What Swift cannot import from Linux's headers: variadic functions, macros, and instructions.
// Static inlines only, no logic; each says why it is here.
#pragma once

// libc belongs to Swift's Glibc module. Imported first, it owns every declaration that the headers below repeat; parsed
// afresh, they would belong to this module or to that one by the order in which files happen to be compiled.
#pragma clang module import SwiftGlibc

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/memfd.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

// Declared by glibc only under _GNU_SOURCE, which must not be defined here: the Glibc module is built without it, and
// its structs would then have two definitions.
extern int memfd_create(const char *name, unsigned int flags);
extern int syncfs(int fd);
extern int accept4(int fd, struct sockaddr *address, socklen_t *length, int flags);
#ifndef F_ADD_SEALS
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#define F_SEAL_SEAL 1
#define F_SEAL_SHRINK 2
#define F_SEAL_GROW 4
#endif
static inline int clinux_memfd_create(const char *name) {
  return memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
}
static inline int clinux_accept(int fd) { return accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK); }

// fcntl is variadic, which Swift does not import.
static inline int clinux_add_seals(int fd, int seals) { return fcntl(fd, F_ADD_SEALS, seals); }
static inline int clinux_get_seals(int fd) { return fcntl(fd, F_GET_SEALS); }
// open is variadic.
static inline int clinux_open(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }

// Cast macros.
static const unsigned int clinux_seal_seal = F_SEAL_SEAL;
static const unsigned int clinux_seal_shrink = F_SEAL_SHRINK;
static const unsigned int clinux_seal_grow = F_SEAL_GROW;

// 1 when syncfs on the descriptor's file system reaches the disk (ext2 to ext4, XFS, Btrfs, F2FS; tmpfs has none), 0
// when that is not known (FUSE and overlays may stop on the way), -1 with errno. f_type as below.
static inline int clinux_is_disk_file_system(int fd) {
  struct statfs s;
  if (fstatfs(fd, &s) != 0) return -1;
  switch ((unsigned long)s.f_type) {
    case EXT4_SUPER_MAGIC:
    case XFS_SUPER_MAGIC:
    case BTRFS_SUPER_MAGIC:
    case F2FS_SUPER_MAGIC:
    case TMPFS_MAGIC: return 1;
    default: return 0;
  }
}

// 1 when the descriptor is an ordinary memfd or tmpfs file (a punched hole reads as zeros), 0 when not
// (hugetlbfs: a punched hole is a SIGBUS), -1 with errno. statfs's f_type has a different type per architecture.
static inline int clinux_is_tmpfs(int fd) {
  struct statfs s;
  if (fstatfs(fd, &s) != 0) return -1;
  return s.f_type == TMPFS_MAGIC;
}

// MAP_FAILED is a cast macro; returns NULL with errno instead.
static inline void *clinux_map(int fd, size_t bytes, int writable) {
  void *p = mmap(NULL, bytes, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
  return p == MAP_FAILED ? NULL : p;
}

// CMSG_* are macros. Sends one packet with up to one descriptor (-1: none).
static inline ssize_t clinux_send_packet(int fd, const void *bytes, size_t count, int descriptor, int flags) {
  struct iovec iov = {(void *)bytes, count};
  union { char space[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control;
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  if (descriptor >= 0) {
    memset(&control, 0, sizeof control);
    message.msg_control = control.space;
    message.msg_controllen = sizeof control.space;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(header), &descriptor, sizeof(int));
  }
  return sendmsg(fd, &message, flags | MSG_NOSIGNAL);
}

// Receives one packet and at most one descriptor (-1: none came). Descriptors beyond the first are closed, so that a
// peer cannot fill our table. *truncated is set when the packet did not fit.
static inline ssize_t clinux_receive_packet(
    int fd, void *bytes, size_t count, int *descriptor, int *truncated, int flags) {
  struct iovec iov = {bytes, count};
  union { char space[CMSG_SPACE(sizeof(int) * 8)]; struct cmsghdr align; } control;
  struct msghdr message;
  memset(&message, 0, sizeof message);
  message.msg_iov = &iov;
  message.msg_iovlen = 1;
  message.msg_control = control.space;
  message.msg_controllen = sizeof control.space;
  *descriptor = -1;
  *truncated = 0;
  ssize_t got = recvmsg(fd, &message, flags | MSG_CMSG_CLOEXEC);
  if (got < 0) return got;
  *truncated = (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0;
  for (struct cmsghdr *h = CMSG_FIRSTHDR(&message); h; h = CMSG_NXTHDR(&message, h)) {
    if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS) continue;
    size_t n = (h->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; i++) {
      int one;
      memcpy(&one, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
      if (*descriptor < 0) *descriptor = one; else close(one);
    }
  }
  return got;
}

// struct ucred needs _GNU_SOURCE too.
static inline int clinux_peer_credentials(int fd, int *pid, unsigned *uid, unsigned *gid) {
  struct { pid_t pid; uid_t uid; gid_t gid; } c;
  socklen_t n = sizeof c;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &n) != 0) return -1;
  *pid = c.pid;
  *uid = c.uid;
  *gid = c.gid;
  return 0;
}

// sun_path is a tuple in Swift. Fills an address; returns its length, or 0 when the path does not fit (107 bytes).
static inline socklen_t clinux_unix_address(struct sockaddr_un *address, const char *path) {
  size_t n = strlen(path);
  if (n >= sizeof address->sun_path) return 0;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, n + 1);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + n + 1);
}

// Enums that import as integers or as structs, depending on how the C library declares them.
static const int clinux_dontwait = MSG_DONTWAIT;
static inline int clinux_packet_socket(void) {
  return socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}
static inline int clinux_epoll_create(void) { return epoll_create1(EPOLL_CLOEXEC); }
static inline int clinux_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }
// Swift's Glibc module has no sys/timerfd.h. A timer that expires again and again.
static inline int clinux_timer(uint64_t nanoseconds) {
  struct timespec t = {.tv_sec = (time_t)(nanoseconds / 1000000000), .tv_nsec = (long)(nanoseconds % 1000000000)};
  struct itimerspec s = {.it_interval = t, .it_value = t};
  int fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  if (fd >= 0) timerfd_settime(fd, 0, &s, NULL);
  return fd;
}

// epoll_event is packed with a union in it: one 64-bit tag is all we use.
static inline int clinux_epoll_add(int epoll, int fd, uint64_t tag, uint32_t events) {
  struct epoll_event e = {.events = events, .data = {.u64 = tag}};
  return epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e);
}
static inline uint64_t clinux_epoll_tag(const struct epoll_event *event) { return event->data.u64; }

// RLIMIT_* are enums whose import differs between C libraries.
static inline int clinux_memlock_limit(uint64_t *soft, uint64_t *hard) {
  struct rlimit r;
  if (getrlimit(RLIMIT_MEMLOCK, &r) != 0) return -1;
  *soft = r.rlim_cur == RLIM_INFINITY ? UINT64_MAX : (uint64_t)r.rlim_cur;
  *hard = r.rlim_max == RLIM_INFINITY ? UINT64_MAX : (uint64_t)r.rlim_max;
  return 0;
}

// Lets this process have as many descriptors as the hard limit allows (one per connection and per segment file).
static inline int clinux_raise_descriptor_limit(void) {
  struct rlimit r;
  if (getrlimit(RLIMIT_NOFILE, &r) != 0) return -1;
  r.rlim_cur = r.rlim_max;
  return setrlimit(RLIMIT_NOFILE, &r);
}

// Spin-wait hint: an instruction.
static inline void clinux_pause(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

// Fetches a cache line that is about to be read: an instruction.
static inline void clinux_prefetch(const void *line) { __builtin_prefetch(line, 0, 3); }

#include "crc32c.h"
