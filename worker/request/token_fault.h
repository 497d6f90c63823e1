/* Why a token is refused. */
#ifndef WORKER_REQUEST_TOKEN_FAULT_H
#define WORKER_REQUEST_TOKEN_FAULT_H

enum token_fault {
    TOKEN_OK,
#define FAULT(name, status, text, old_status, old_text) name,
#include "worker/request/token_fault.def"
#undef FAULT
    TOKEN_FAULT_COUNT_
};

#endif
