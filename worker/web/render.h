/* Templates of pages (*.html of templates/): mustache, filled with values of jansson.
 *
 * A name is looked up in the innermost object alone; names that begin with `site.` in the outermost
 * one. A name that is not there is a fault, so a value of an outer object never shows up by
 * accident. null, false, and an empty
 * text or list leave a section out. All values are escaped. */
#ifndef WORKER_WEB_RENDER_H
#define WORKER_WEB_RENDER_H

#include <jansson.h>
#include <stddef.h>

#define RENDER_FAULT_SIZE 256

#ifdef __cplusplus
extern "C" {
#endif

/* The page, *ret_len bytes that the caller frees. NULL: `fault` says why. Templates are parsed at
 * their first use in a process. */
char *render(const char *name, const json_t *model, size_t *ret_len, char fault[RENDER_FAULT_SIZE]);

/* The text of a template; NULL: there is none of this name. */
const char *template_text(const char *name, size_t *ret_len);

/* Differs between releases with other templates. Static storage. */
const char *templates_hash(void);

#ifdef __cplusplus
}
#endif

#endif
