// Compression libraries for Swift. Static inlines only, no logic; each says why it is here.
#pragma once

// libc belongs to Swift's Glibc module: see CLinux.
#pragma clang module import SwiftGlibc

#include <lz4frame.h>
#include <snappy-c.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>
#include <zstd.h>
#include <zstd_errors.h>

// Both are macros over functions that also take the header's version and the structure's size.
static inline int ccodecs_deflate_init(z_stream *stream, int level, int window_bits) {
  return deflateInit2(stream, level, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
}
static inline int ccodecs_inflate_init(z_stream *stream, int window_bits) {
  return inflateInit2(stream, window_bits);
}
