/* The answers of endpoints (answers.def), as OpenAPI shows them. */
#ifndef WORKER_OPENAPI_ANSWERS_H
#define WORKER_OPENAPI_ANSWERS_H

#include <jansson.h>

/* {STATUS: RESPONSE} of an operation, a new reference. An operation without a row, and a shape that
 * cannot be read, end the program with a message. */
json_t *openapi_answers(unsigned op);

/* {NAME: SCHEMA} of the rows SHAPE, a new reference. */
json_t *openapi_shapes(void);

#endif
