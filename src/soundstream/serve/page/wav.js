// Samples to the bytes of a 16-bit WAV file.

/** @param {Float32Array[]} channels of equal length, in [-1, 1]; @returns {Blob} */
export function wavOf(channels, sampleRate) {
  const samples = channels[0].length, width = 2 * channels.length;
  const view = new DataView(new ArrayBuffer(44 + samples * width));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + samples * width, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true);
  view.setUint16(22, channels.length, true);
  view.setUint32(24, sampleRate, true);
  view.setUint32(28, sampleRate * width, true);
  view.setUint16(32, width, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, samples * width, true);
  for (let i = 0, at = 44; i < samples; i++) {
    for (const channel of channels) {
      view.setInt16(at, Math.max(-32768, Math.min(32767, Math.round(channel[i] * 32768))), true);
      at += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}
