// Counts a program's allocations: cc -O2 -shared -fPIC -o count-malloc.so count-malloc.c -ldl; LD_PRELOAD it.
// At exit it prints `allocations N` to standard error.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static atomic_ulong count;

// Takes note of a call, and leaves the function that does it in `real`.
#define COUNT(function)                                                             \
  static __typeof__(&function) real;                                                \
  if (!real) real = (__typeof__(&function))dlsym(RTLD_NEXT, #function);             \
  atomic_fetch_add_explicit(&count, 1, memory_order_relaxed)

void *malloc(size_t size) {
  COUNT(malloc);
  return real(size);
}
void *realloc(void *old, size_t size) {
  COUNT(realloc);
  return real(old, size);
}
void *aligned_alloc(size_t alignment, size_t size) {
  COUNT(aligned_alloc);
  return real(alignment, size);
}
int posix_memalign(void **result, size_t alignment, size_t size) {
  COUNT(posix_memalign);
  return real(result, alignment, size);
}
// calloc is left alone: dlsym itself calls it, and Swift's runtime allocates by malloc.

__attribute__((destructor)) static void report(void) { fprintf(stderr, "allocations %lu\n", atomic_load(&count)); }
