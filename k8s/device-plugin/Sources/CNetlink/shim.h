// What Swift cannot import from Linux's headers. Static inlines only, no logic; each says why it is here.
#pragma once

// libc belongs to Swift's Glibc module.
#pragma clang module import SwiftGlibc

#include <fcntl.h>
#include <linux/netlink.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

// Enums that import as integers or as structs, depending on how the C library declares them, and sockaddr_nl, whose
// cast to sockaddr is an unsafe rebinding in Swift. A socket that gets the messages of multicast groups; -1 and errno.
static inline int cnetlink_open(int protocol, unsigned groups) {
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol);
  if (fd < 0) return -1;
  struct sockaddr_nl address;
  memset(&address, 0, sizeof address);
  address.nl_family = AF_NETLINK;
  address.nl_groups = groups;
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
  close(fd);
  return -1;
}

// sun_path is a tuple in Swift. A listening stream socket, readable and writable for the owner only; -1 and errno,
// ENAMETOOLONG for more than 107 bytes. A socket that lies there already is replaced, anything else is not.
static inline int cnetlink_listen(const char *path) {
  struct sockaddr_un address;
  struct stat s;
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return -1;
  }
  if (lstat(path, &s) == 0 && S_ISSOCK(s.st_mode)) unlink(path);
  int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return -1;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path);
  if (bind(fd, (struct sockaddr *)&address, sizeof address) == 0 && chmod(path, 0600) == 0 && listen(fd, 128) == 0)
    return fd;
  int error = errno;
  close(fd);
  errno = error;
  return -1;
}

// sun_path again. Whether somebody holds the socket at a path. fd is a datagram socket: to one that listens for streams
// it is refused as of the wrong kind, after the kernel has found who holds it and without a connection that they would
// notice. Not to be allowed to connect says nothing against them.
static inline int cnetlink_is_held(int fd, const char *path) {
  struct sockaddr_un address;
  if (strlen(path) >= sizeof address.sun_path) return 0;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  strcpy(address.sun_path, path);
  if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return 1;
  return errno != ECONNREFUSED && errno != ENOENT && errno != ENOTDIR;
}
// SOCK_DGRAM is an enum.
static inline int cnetlink_datagram(void) { return socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0); }

// IN_* and EFD_* are enums, too.
static inline int cnetlink_inotify(void) { return inotify_init1(IN_CLOEXEC | IN_NONBLOCK); }
// As above.
static inline int cnetlink_eventfd(void) { return eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK); }
// open is variadic.
static inline int cnetlink_open_file(const char *path, int flags, mode_t mode) { return open(path, flags, mode); }
