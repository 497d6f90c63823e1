/* Dead letters as they are shown to admins. */
#ifndef WORKER_EVENTS_DEAD_LETTER_VIEW_H
#define WORKER_EVENTS_DEAD_LETTER_VIEW_H

#include <jansson.h>

/* Makes what store_outbox_dead gives fit to be shown, in place: times become texts (`created_at`,
 * `dead_at`), a user and password in `url` become "***". */
void dead_letter_view_fill(json_t *letters);

#endif
