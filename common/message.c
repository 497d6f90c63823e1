#include "common/message.h"

#include "common/mem.h"

#include <stdlib.h>

bool message_receive(void *socket, zmq_msg_t *msg)
{
    zmq_msg_init(msg);
    if (zmq_msg_recv(msg, socket, ZMQ_DONTWAIT) >= 0)
        return true;
    zmq_msg_close(msg);
    return false;
}

void message_new(zmq_msg_t *msg, size_t size)
{
    mem_check(zmq_msg_init_size(msg, size) == 0);
}

static void free_data(void *data, void *hint)
{
    (void)hint;
    free(data);
}

static void wipe_data(void *data, void *hint)
{
    (void)hint;
    mem_wipe(data);
}

static void make(zmq_msg_t *msg, msgpack_sbuffer *packed, zmq_free_fn *done)
{
    size_t size = packed->size;

    mem_check(zmq_msg_init_data(msg, msgpack_sbuffer_release(packed), size, done, NULL) == 0);
}

void message_of(zmq_msg_t *msg, msgpack_sbuffer *packed)
{
    make(msg, packed, free_data);
}

void message_of_secret(zmq_msg_t *msg, msgpack_sbuffer *packed)
{
    make(msg, packed, wipe_data);
}
