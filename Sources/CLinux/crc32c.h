// CRC-32C by instructions of the CPU. What clinux_has_* denies must not be called. Included by shim.h.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__)
// The CRC instruction of SSE 4.2.
static inline int clinux_has_crc32c(void) { return __builtin_cpu_supports("sse4.2") != 0; }
// Three independent streams of 8-byte words, so that the instruction's 3-cycle latency is hidden. In C because Swift
// cannot name a target feature for one function, and a call for every 8 bytes would not be inlined across it.
__attribute__((target("sse4.2"))) static inline void clinux_crc32c_three(
    const unsigned char *p, size_t block, uint64_t *a, uint64_t *b, uint64_t *c) {
  uint64_t x = *a, y = *b, z = *c;
  for (size_t i = 0; i < block; i += 8) {
    uint64_t u, v, w;
    memcpy(&u, p + i, 8);
    memcpy(&v, p + block + i, 8);
    memcpy(&w, p + 2 * block + i, 8);
    x = __builtin_ia32_crc32di(x, u);
    y = __builtin_ia32_crc32di(y, v);
    z = __builtin_ia32_crc32di(z, w);
  }
  *a = x; *b = y; *c = z;
}
__attribute__((target("sse4.2"))) static inline uint32_t clinux_crc32c_run(
    uint32_t crc, const unsigned char *p, size_t n) {
  uint64_t x = crc;
  for (; n >= 8; n -= 8, p += 8) { uint64_t u; memcpy(&u, p, 8); x = __builtin_ia32_crc32di(x, u); }
  uint32_t r = (uint32_t)x;
  for (; n > 0; n--, p++) r = __builtin_ia32_crc32qi(r, *p);
  return r;
}

// Folding: 64 bytes of a remainder are multiplied by x^D and added to the 64 bytes that follow D bits later, which
// leaves the remainder of the whole what it was. Four side by side, since a multiplication takes several cycles. The
// numbers are x^(D+32) and x^(D-32) modulo the polynomial, reflected, times x; for D of 2048 and of 512 bits.
typedef long long clinux_v8 __attribute__((vector_size(64)));
#define CLINUX_FOLDING __attribute__((target("avx512f,avx512bw,vpclmulqdq,sse4.2")))
static inline int clinux_has_crc32c_fold(void) {
  return __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("vpclmulqdq") && clinux_has_crc32c();
}
// x = x folded onto what p points to.
#define CLINUX_FOLD(x, by, p) do { \
    clinux_v8 low, high, onto; \
    memcpy(&onto, p, 64); \
    __asm__("vpclmulqdq $0x00, %2, %1, %0" : "=v"(low) : "v"(x), "v"(by)); \
    __asm__("vpclmulqdq $0x11, %2, %1, %0" : "=v"(high) : "v"(x), "v"(by)); \
    x = low ^ high ^ onto; \
  } while (0)
// n: at least 256. The state is neither inverted before nor after.
CLINUX_FOLDING static inline uint32_t clinux_crc32c_fold(uint32_t state, const unsigned char *p, size_t n) {
  const long long f = 0xdcb17aa4, g = 0xb9e02b86, h = 0x740eef02, i = 0x9e4addf8;
  clinux_v8 by = {f, g, f, g, f, g, f, g}, first = {state}, a, b, c, d;
  memcpy(&a, p, 64); memcpy(&b, p + 64, 64); memcpy(&c, p + 128, 64); memcpy(&d, p + 192, 64);
  a ^= first;
  for (n -= 256, p += 256; n >= 256; n -= 256, p += 256) {
    CLINUX_FOLD(a, by, p);
    CLINUX_FOLD(b, by, p + 64);
    CLINUX_FOLD(c, by, p + 128);
    CLINUX_FOLD(d, by, p + 192);
  }
  by = (clinux_v8){h, i, h, i, h, i, h, i};
  CLINUX_FOLD(a, by, &b);
  CLINUX_FOLD(a, by, &c);
  CLINUX_FOLD(a, by, &d);
  for (; n >= 64; n -= 64, p += 64) CLINUX_FOLD(a, by, p);
  unsigned char rest[64];
  memcpy(rest, &a, 64);
  return clinux_crc32c_run(clinux_crc32c_run(0, rest, 64), p, n);
}
#elif defined(__aarch64__)
#include <sys/auxv.h>
#if defined(__clang__)
#define CLINUX_CRC32CD __builtin_arm_crc32cd
#define CLINUX_CRC32CB __builtin_arm_crc32cb
#else
#define CLINUX_CRC32CD __builtin_aarch64_crc32cx
#define CLINUX_CRC32CB __builtin_aarch64_crc32cb
#endif
static inline int clinux_has_crc32c(void) { return (getauxval(AT_HWCAP) & (1 << 7)) != 0; }
__attribute__((target("+crc"))) static inline void clinux_crc32c_three(
    const unsigned char *p, size_t block, uint64_t *a, uint64_t *b, uint64_t *c) {
  uint32_t x = (uint32_t)*a, y = (uint32_t)*b, z = (uint32_t)*c;
  for (size_t i = 0; i < block; i += 8) {
    uint64_t u, v, w;
    memcpy(&u, p + i, 8);
    memcpy(&v, p + block + i, 8);
    memcpy(&w, p + 2 * block + i, 8);
    x = CLINUX_CRC32CD(x, u);
    y = CLINUX_CRC32CD(y, v);
    z = CLINUX_CRC32CD(z, w);
  }
  *a = x; *b = y; *c = z;
}
__attribute__((target("+crc"))) static inline uint32_t clinux_crc32c_run(
    uint32_t crc, const unsigned char *p, size_t n) {
  for (; n >= 8; n -= 8, p += 8) { uint64_t u; memcpy(&u, p, 8); crc = CLINUX_CRC32CD(crc, u); }
  for (; n > 0; n--, p++) crc = CLINUX_CRC32CB(crc, *p);
  return crc;
}
#else
static inline int clinux_has_crc32c(void) { return 0; }
static inline void clinux_crc32c_three(const unsigned char *p, size_t block, uint64_t *a, uint64_t *b, uint64_t *c) {
  (void)p; (void)block; (void)a; (void)b; (void)c;
}
static inline uint32_t clinux_crc32c_run(uint32_t crc, const unsigned char *p, size_t n) {
  (void)p; (void)n;
  return crc;
}
#endif
#if !defined(__x86_64__)
static inline int clinux_has_crc32c_fold(void) { return 0; }
static inline uint32_t clinux_crc32c_fold(uint32_t state, const unsigned char *p, size_t n) {
  (void)p; (void)n;
  return state;
}
#endif
