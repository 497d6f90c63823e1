/* Which fields of a result a request asks for: ?fields=NAME,NAME,... */
#ifndef WORKER_HANDLERS_RESULT_FIELDS_H
#define WORKER_HANDLERS_RESULT_FIELDS_H

#include "worker/request/call.h"

#define RESULT_NAME_SIZE 64

/* The field of a phase's text of a type: PHASE_output, PHASE_serial. */
void result_name(int phase, enum output_type type, char out[RESULT_NAME_SIZE]);

/* The field of a phase's exit code: PHASE_status. */
void result_status_name(int phase, char out[RESULT_NAME_SIZE]);

struct result_fields {
    json_t *names;                 /* object whose keys are the names; NULL: all fields */
    unsigned phases[OUTPUT_TYPES]; /* bits of the phases whose texts of a type are asked for */
    enum result_part part;         /* what is to be read for it */
};

/* Reads the parameters `fields` of a request. Names that a result does not have are no fault: which
 * it has depends on what was posted. Without a name all fields are asked for. */
void result_fields_load(const struct request *r, struct result_fields *ret);
void result_fields_free(struct result_fields *f);

/* Whether texts of phases are asked for. */
bool result_fields_logs(const struct result_fields *f);

#endif
