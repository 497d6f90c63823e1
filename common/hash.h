/* uthash whose memory comes from common/mem.h. */
#ifndef COMMON_HASH_H
#define COMMON_HASH_H

#include "common/mem.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

#endif
