import J2Ci.jDVInterface;
import dicomscope.DICOMscope;
import java.awt.Component;
import java.awt.Container;
import java.awt.EventQueue;
import java.awt.Frame;
import java.awt.Rectangle;
import java.awt.Robot;
import java.awt.image.BufferedImage;
import java.awt.image.DataBufferInt;
import java.io.File;
import java.lang.reflect.Field;
import java.util.Arrays;
import javax.imageio.ImageIO;
import main.Controller;
import main.ImageActionEvent;
import viewer.gui.ImageCanvas;

/** Runs DICOMscope and writes what its image viewer shows of each IMAGE under each STATE into each PNG. */
public class ShowStates {
    public static void main(String[] imagesStatesPictures) throws Exception {
        DICOMscope.main(new String[0]);
        DICOMscope window = null;
        for (Frame frame : Frame.getFrames()) {
            if (frame instanceof DICOMscope) {
                window = (DICOMscope) frame;
            }
        }
        for (int i = 0; i < imagesStatesPictures.length; i += 3) {
            open(window, imagesStatesPictures[i], imagesStatesPictures[i + 1]);
            ImageIO.write(settled(window), "png", new File(imagesStatesPictures[i + 2]));
        }
        Runtime.getRuntime().halt(0); // its own way to end asks whether to save
    }

    private static void open(DICOMscope window, String image, String state) throws Exception {
        Field field = DICOMscope.class.getDeclaredField("dvi");
        field.setAccessible(true);
        jDVInterface files = (jDVInterface) field.get(window);
        EventQueue.invokeAndWait(() -> {
            if (files.loadPState(state, image) != 0) {
                throw new IllegalStateException("DICOMscope cannot load " + state + " with " + image);
            }
            window.switchToViewer();
            int onlyImage = 1;
            int onlyFrame = 1;
            Controller.instance().fireEvent(
                new ImageActionEvent(window, ImageActionEvent.ACTION_SETNEWIMAGE, onlyImage, onlyFrame));
        });
    }

    /** Takes pictures until two that follow each other are the same, for ten seconds at most. */
    private static BufferedImage settled(DICOMscope window) throws Exception {
        Robot robot = new Robot();
        BufferedImage before = null;
        for (int i = 0; i < 40; i++) {
            robot.waitForIdle();
            Thread.sleep(250);
            Component canvas = canvasIn(window);
            BufferedImage now = robot.createScreenCapture(new Rectangle(canvas.getLocationOnScreen(), canvas.getSize()));
            if (before != null && Arrays.equals(pixels(before), pixels(now))) {
                return now;
            }
            before = now;
        }
        return before;
    }

    private static int[] pixels(BufferedImage image) {
        return ((DataBufferInt) image.getRaster().getDataBuffer()).getData();
    }

    private static Component canvasIn(Container parent) {
        for (Component child : parent.getComponents()) {
            if (child instanceof ImageCanvas) {
                return child;
            }
            Component found = child instanceof Container ? canvasIn((Container) child) : null;
            if (found != null) {
                return found;
            }
        }
        return null;
    }
}
