/* ZeroMQ message parts. The process ends when memory is out (common/mem.h). */
#ifndef COMMON_MESSAGE_H
#define COMMON_MESSAGE_H

#include <msgpack.h>
#include <stdbool.h>
#include <zmq.h>

/* Receives one part without waiting. False: there is none, and `msg` need not be closed. */
bool message_receive(void *socket, zmq_msg_t *msg);

/* Makes a part of `size` bytes for the caller to fill. */
void message_new(zmq_msg_t *msg, size_t size);

/* Moves the buffer into a part without copying it; the buffer is empty afterwards. */
void message_of(zmq_msg_t *msg, msgpack_sbuffer *packed);
/* The same; the memory is overwritten once it is sent. */
void message_of_secret(zmq_msg_t *msg, msgpack_sbuffer *packed);

#endif
