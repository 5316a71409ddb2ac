// The mel scale of the spectrograms.

export const melOf = (hz) => 2595 * Math.log10(1 + hz / 700);
export const hzOf = (mel) => 700 * (10 ** (mel / 2595) - 1);
