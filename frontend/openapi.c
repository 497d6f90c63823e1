#include "frontend/openapi.h"

/* The assembler copies the file: no tool has to turn it into C. */
__asm__(".section .rodata\n"
        ".global openapi_begin, openapi_end\n"
        "openapi_begin: .incbin \"" OPENAPI_FILE "\"\n"
        "openapi_end:\n"
        ".previous\n");

extern const char openapi_begin[], openapi_end[];

struct text openapi_document(void)
{
    return (struct text){openapi_begin, (size_t)(openapi_end - openapi_begin)};
}
