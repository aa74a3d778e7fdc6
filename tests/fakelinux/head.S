/* Entered by the firmware in big-endian mode, real addresses: says what said.txt holds on the first virtual
   terminal, then powers off. A byte of 1 in the text stops there for good, one of 2 resets the machine, at one of 3
   the processor stops for good, at one of 4 the rest is said over and over.
   Hypercalls: PAPR, H_PUT_TERM_CHAR; QEMU's hcall for RTAS (docs/specs/ppc-spapr-hcalls). */
	.text
_start:	bl	1f
1:	mflr	31
	addi	31, 31, said - 1b
next:	lbz	8, 0(31)
	addi	31, 31, 1
	cmpwi	8, 0
	beq	off
	cmpwi	8, 1
stop:	beq	stop
	cmpwi	8, 2
	beq	reset
	cmpwi	8, 3
	beq	sleep
	cmpwi	8, 4
	beq	again
put:	lbz	8, -1(31)
	sldi	6, 8, 56
	li	3, 0x58
	li	4, 0
	li	5, 1
	li	7, 0
	.long	0x44000022
	cmpdi	3, 1
	beq	put
	b	next
sleep:	bl	rtas
	.long	0x2007, 0, 1, 0
again:	mr	30, 31
over:	mr	31, 30
more:	lbz	8, 0(31)
	addi	31, 31, 1
	cmpwi	8, 0
	beq	over
	sldi	6, 8, 56
	li	3, 0x58
	li	4, 0
	li	5, 1
	li	7, 0
	.long	0x44000022
	b	more
off:	bl	rtas
	.long	0x2003, 2, 1, -1, -1, 0
reset:	bl	rtas
	.long	0x2004, 0, 1, 0
rtas:	mflr	4
	li	3, 0
	ori	3, 3, 0xf000
	.long	0x44000022
idle:	b	idle
said:	.incbin	"said.txt"
	.byte	0
