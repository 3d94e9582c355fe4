#include "base/buffer.h"
int main(void){static char m[100];struct buffer q;buffer_init(&q,1<<20,0);for(int i=0;i<100000;i++){buffer_reserve(&q,100);__builtin_memcpy(buffer_end(&q),m,100);buffer_commit(&q,100);buffer_consume(&q,100);}buffer_fini(&q);}
