/* Files in the program: the assembler copies them, so no tool has to turn them into C. */
#ifndef WORKER_WEB_EMBED_H
#define WORKER_WEB_EMBED_H

/* The bytes of the file from `symbol` up to `symbol`_end; without a NUL. */
#define EMBED(symbol, path)                                                                        \
    __asm__(".section .rodata\n"                                                                   \
            ".global " #symbol ", " #symbol "_end\n" #symbol ": .incbin \"" path "\"\n" #symbol    \
            "_end:\n"                                                                              \
            ".previous\n");                                                                        \
    extern const char symbol[], symbol##_end[];

#endif
