// Encodes grey samples of 16 bits, read from standard input, as High-Throughput JPEG 2000 (15444-15) to standard output.
//   node tools/encode_htj2k.js PACKAGE SIDE_PX BITS lossless|lossy LRCP|RPCL < samples > codestream
// PACKAGE: the unpacked npm package @cornerstonejs/codec-openjph. OpenJPEG, which decodes such streams, encodes none.
const fs = require('fs');
const path = require('path');

const [packageDir, sidePx, bits, loss, order] = process.argv.slice(2);
const PROGRESSION_ORDERS = { LRCP: 0, RPCL: 2 }; // 15444-1 table A.16

require(path.resolve(packageDir, 'dist', 'openjphjs.js'))().then((openjph) => {
  const encoder = new openjph.HTJ2KEncoder();
  const side = Number(sidePx);
  const frame = { width: side, height: side, bitsPerSample: Number(bits), componentCount: 1, isSigned: false };
  encoder.getDecodedBuffer({ ...frame, isUsingColorTransform: false }).set(fs.readFileSync(0));
  encoder.setDecompositions(3);
  encoder.setQuality(loss === 'lossless', 0.002);
  encoder.setProgressionOrder(PROGRESSION_ORDERS[order]);
  encoder.encode();
  fs.writeSync(1, encoder.getEncodedBuffer());
});
