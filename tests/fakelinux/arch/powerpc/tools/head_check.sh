#!/bin/bash
# finds no fault: fakelinux has nothing that it is about
