"""One alphabet for every shape in the project; signatures use these letters and nothing else.

======  =============================================  ======  ==========================================
B       trials in a batch                              G       generator state
T       bins that are reconstructed                    H       controller state
Te      bins that the encoders see (Te <= T)           F       factors
N       channels that are reconstructed                P       parameters per channel of a reconstruction
Ne      channels that the encoders see (Ne <= N)       S       posterior samples
D       width after the read-in                        M       population members (always the first axis)
I       initial condition                              E       external inputs
C       encoder state (one direction)                  U       inferred inputs
======  =============================================  ======  ==========================================

A number after a letter multiplies it: H3 stands for 3H, because the name of an axis must be one that Python takes. Letters
side by side are axes laid end to end or stacked: UE is U + E, PN is P times N. Random draws, masks and weights obey the same
letters. Where functions say ``...`` a leading population axis M may stand.
"""
