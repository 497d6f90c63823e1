#include "worker/secrets/wipe.h"

#include "common/mem.h"

#include <jansson.h>
#include <stdlib.h>

void wipe_json(bool on)
{
    json_set_alloc_funcs(malloc, on ? mem_wipe : free);
}
