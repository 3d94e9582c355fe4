#include "base/queue.h"
int main(void){static char m[100];struct queue q;queue_init(&q,1<<20);for(int i=0;i<100000;i++){enum tlsmsg_code c;char*t=queue_reserve(&q,100,&c);__builtin_memcpy(t,m,100);queue_commit(&q,100);queue_consume(&q,100);}queue_fini(&q);}
