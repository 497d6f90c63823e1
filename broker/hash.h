/* uthash whose memory comes from common/mem.h. */
#ifndef BROKER_HASH_H
#define BROKER_HASH_H

#include "common/mem.h"

#define uthash_malloc(size) mem_alloc(size)
#include <uthash.h>

#endif
