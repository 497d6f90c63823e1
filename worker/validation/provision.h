/* The forms that provision_data of a job can have, one for each kind of device. */
#ifndef WORKER_VALIDATION_PROVISION_H
#define WORKER_VALIDATION_PROVISION_H

#include "worker/validation/fieldtable.h"

extern const struct kind kind_provision;

/* A list of files that come with a job; their number is not limited. */
extern const struct kind kind_attachments;

#endif
