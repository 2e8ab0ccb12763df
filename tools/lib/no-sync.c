/* A library to preload: syncing succeeds and does nothing. The control of tools/test-power-cut. */
#include <stddef.h>
#include <sys/types.h>

int fsync(int descriptor) { return 0; }
int fdatasync(int descriptor) { return 0; }
int syncfs(int descriptor) { return 0; }
int sync_file_range(int descriptor, off_t offset, off_t bytes, unsigned flags) { return 0; }
int msync(void *address, size_t bytes, int flags) { return 0; }
void sync(void) {}
