/* ZeroMQ message parts. Memory that is out ends the process, as in common/mem.h. */
#ifndef COMMON_MESSAGE_H
#define COMMON_MESSAGE_H

#include <msgpack.h>
#include <stdbool.h>
#include <zmq.h>

/* Receives one part without waiting. False: none is there, and `msg` need not be closed. */
bool message_receive(void *socket, zmq_msg_t *msg);

/* Makes a part of `size` bytes, to be filled by the caller. */
void message_new(zmq_msg_t *msg, size_t size);

/* Makes a part of what was packed, without a copy; the buffer is empty afterwards. */
void message_of(zmq_msg_t *msg, msgpack_sbuffer *packed);

#endif
