/* The fields of a result that a request asks for: ?fields=NAME,NAME,... */
#ifndef WORKER_HANDLERS_RESULT_FIELDS_H
#define WORKER_HANDLERS_RESULT_FIELDS_H

#include "worker/request/call.h"

#define RESULT_NAME_SIZE 64

/* The field of a phase's text of a type: PHASE_output, PHASE_serial. */
void result_name(int phase, enum output_type type, char out[RESULT_NAME_SIZE]);

/* The field of a phase's exit code: PHASE_status. */
void result_status_name(int phase, char out[RESULT_NAME_SIZE]);

struct result_fields {
    json_t *names;                 /* the names are its keys; NULL: all fields */
    unsigned phases[OUTPUT_TYPES]; /* by type: bits of the phases whose texts are requested */
    enum result_part part;         /* what to read for them */
};

/* Reads the parameters `fields` of a request; without any, all fields are requested. Unknown names
 * are no fault: results have the fields that were posted. */
void result_fields_load(const struct request *r, struct result_fields *ret);
void result_fields_free(struct result_fields *f);

/* Whether texts of phases are requested. */
bool result_fields_logs(const struct result_fields *f);

#endif
