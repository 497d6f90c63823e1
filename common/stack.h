/* The stack of a process that is aborted, for its log. */
#ifndef COMMON_STACK_H
#define COMMON_STACK_H

/* From now on SIGABRT, of abort() or of a master that found this process hanging, writes the main
 * thread's stack to stderr, a line a frame, and then ends the process. Names are those of functions
 * that are not static; for the others: addr2line -f -e PROGRAM OFFSET. */
void stack_on_abort(void);

#endif
